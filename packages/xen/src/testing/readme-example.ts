import { createFrameAllocator, createRam, gfn, type Pfn, pfn } from '@heki/physical-memory';
import { createXen } from '@heki/xen';

// A host with 64 MiB for a guest and 4 MiB for Xen's tables.
const memory = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x8000) }] });
const frames = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x400) }] });
const xen = createXen();
const domain = xen.createVirtualMachine({
  host: { memory, frames },
  onEvent: (event) => console.log(xen.describe(event)),
});
domain.addMemory({ start: gfn(0), frames: 0x4000, backing: pfn(0x4000) });

// Data that the kernel may not execute, user code may: Xen has one right for both.
const rights = { read: true, write: true, supervisorExecute: false, userExecute: true };
domain.protect([{ start: gfn(0x1000), end: gfn(0x1200), rights }]);
// Execution can be denied to kernel and user code together.
domain.protect([{ start: gfn(0x1000), end: gfn(0x1200), rights: { ...rights, userExecute: false } }]);
