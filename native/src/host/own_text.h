// The program's own text. A process maps each page of it that it ever ran, and what only starting ran stays mapped:
// half of Node's 45 MiB. Given back, such a page is in the page cache still, where the kernel may take it, and is
// mapped again when it is run.
#pragma once
#include <cstddef>

namespace tapline {

/// Unmaps the pages of the running executable that nobody can have written to. Returns their bytes.
size_t release_text() noexcept;

}  // namespace tapline
