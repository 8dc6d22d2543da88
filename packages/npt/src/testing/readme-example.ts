import { createNpt, createNptEditor, describeNpfInfo1, NPT_RIGHTS, nptLeaf } from '@heki/npt';
import { createFrameAllocator, createRam, gfn, type Pfn, pfn } from '@heki/physical-memory';
import { REFUSED, SecondLevelAccess } from '@heki/second-level';

const tables = [{ start: pfn(0x100), end: pfn(0x200) }];
const memory = createRam<Pfn>({ ranges: tables });
const editor = createNptEditor({ memory, frames: createFrameAllocator({ ranges: tables }) });

// Four gigabytes of guest memory in large leaves; then the kernel may no longer execute 2 MiB of it.
const all = { read: true, write: true, supervisorExecute: true, userExecute: true };
editor.map(gfn(0), gfn(0x100000), pfn(0x400000), nptLeaf(all, { gmet: true }).bits);
const userOnly = nptLeaf({ ...all, supervisorExecute: false }, { gmet: true });
editor.update(gfn(0x1000), gfn(0x1200), { clear: NPT_RIGHTS, set: userOnly.bits });
console.log(`supervisor may execute: ${userOnly.granted.supervisorExecute}, weakened: ${userOnly.weakened}`);

const npt = createNpt({ memory, root: editor.root, controls: { gmet: true } });
const fetch = SecondLevelAccess.FETCH | SecondLevelAccess.LINEAR_VALID;
if (npt.translate(gfn(0x1003), 0x18, fetch) === REFUSED && npt.fault?.kind === 'nested-page-fault') {
  console.log(describeNpfInfo1(npt.fault.info1));
}
console.log(npt.explain(gfn(0x1003), 0x18, fetch).reason);
