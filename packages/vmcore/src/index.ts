export type { GeneralRegister, PrStatus, Segment, SegmentRegister, VmcoreCpu } from './cpu-note.ts';
export { VmcoreError } from './error.ts';
export { type InfoTlbLeaf, infoTlbLine } from './info-tlb.ts';
export { parseIomem, readMemoryMap } from './iomem.ts';
export type { Note } from './note.ts';
export { kernelRootOf, pagingRegistersOf } from './paging-registers.ts';
export type { VmcoreSegment } from './segment.ts';
export { openVmcore, readVmcore, type Vmcore, type VmcoreOptions } from './vmcore.ts';
export { parseVmcoreinfo, type Vmcoreinfo } from './vmcoreinfo.ts';
