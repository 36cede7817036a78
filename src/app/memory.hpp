// The memory of the whole process.
#pragma once

namespace turnpike::app {

// Gives back what only the start needed: the heap of reading configuration and ledger, and the code that ran once.
void give_back_start_memory();

// Asks the kernel to hold the heap in huge pages, where it has any (docs/decisions/0024-a-busy-heap-in-huge-pages.md).
// What the heap has not used yet comes in huge pages from then on; what it uses already is put into them now when
// `now`, which takes some milliseconds, and else in the kernel's own time. Does nothing with another allocator than
// mimalloc.
void hold_heap_in_huge_pages(bool now);

}  // namespace turnpike::app
