// The program's own text. A process maps each page of it that it ever ran, and what only starting ran stays mapped:
// half of Node's 45 MiB. Given back, such a page is in the page cache still, where the kernel may take it, and is
// mapped again when it is run.
#pragma once
namespace tapline {

/// Unmaps the pages of the running executable that nobody can have written to. For one thread.
void release_text() noexcept;

}  // namespace tapline
