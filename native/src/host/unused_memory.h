// Memory that a process holds and does not use. Its own text: it maps each page that it ever ran, and what only
// starting ran stays mapped: half of Node's 45 MiB. Given back, such a page is in the page cache still, where the
// kernel may take it, and is mapped again when it is run. And what malloc was given back: between blocks that are in
// use it keeps it, in each thread's arena.
#pragma once
namespace tapline {

/// Unmaps the pages of the running executable that nobody can have written to, and gives malloc's free pages to the
/// kernel. For one thread. A thread that allocates meanwhile may wait a millisecond.
void release_unused() noexcept;

}  // namespace tapline
