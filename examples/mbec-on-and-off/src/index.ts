// May the kernel execute a page that holds data? May a program? One bit for both, or one for each: that is MBEC.
import { createEpt, createEptEditor, describeQualification, EptLow, encodeEptp, eptLeaf } from '@heki/ept';
import {
  createFrameAllocator,
  createMountedMemory,
  createRam,
  type Gfn,
  gfn,
  type Pfn,
  pfn,
  virtualAddressOf,
  virtualFrame,
} from '@heki/physical-memory';
import { createVcpu } from '@heki/vcpu';
import { createAddressSpace, entryBits, INTEL_VT_RP, pagingRegisters } from '@heki/x86';

const { R, W, X, XU } = EptLow;

// A guest of 256 frames. Its frame 0x40 is mapped twice, executable both times: for the kernel and for a program.
const host = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x200) }] });
const guest = createMountedMemory<Gfn>({
  mounts: [{ start: gfn(0), frames: 0x100, memory: host, from: pfn(0x100) }],
});
const tables = createFrameAllocator<Gfn>({ ranges: [{ start: gfn(0x10), end: gfn(0x20) }] });
const space = createAddressSpace({ memory: guest, tables, levels: 4 });
const kernelPage = virtualFrame(0xffff888000040);
const userPage = virtualFrame(0x400);
space.map(kernelPage, virtualFrame(kernelPage + 1), gfn(0x40), entryBits('P', 'RW', 'A', 'D'));
space.map(userPage, virtualFrame(userPage + 1), gfn(0x40), entryBits('P', 'RW', 'US', 'A', 'D'));

// EPT tables; which rights they give frame 0x40 changes below.
const frames = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x100) }] });
const editor = createEptEditor({ memory: host, frames });
editor.map(gfn(0), gfn(0x100), pfn(0x100), eptLeaf({ rights: R | W | X | XU }));
const eptp = encodeEptp({
  root: editor.root,
});

/** One fetch on a virtual CPU that has nothing cached. */
function fetchBy(who: 'kernel' | 'program', modeBasedExecute: boolean): void {
  const vcpu = createVcpu({
    id: 0,
    memory: host,
    processor: INTEL_VT_RP,
    secondLevel: createEpt({ memory: host, eptp, controls: { modeBasedExecute } }),
    registers: { ...pagingRegisters({ cr3: BigInt(space.root) << 12n }), cpl: who === 'kernel' ? 0 : 3 },
    onExit: (_, exit) => ({
      kind: 'stop',
      why: exit.reason === 'ept-violation' ? describeQualification(exit.qualification) : exit.reason,
    }),
  });
  const outcome = vcpu.fetch(virtualAddressOf(who === 'kernel' ? kernelPage : userPage));
  console.log(`  ${who}: ${outcome.kind === 'stopped' ? `violation ${outcome.why}` : 'executes'}`);
}

function show(title: string, rights: number, modeBasedExecute: boolean): void {
  editor.map(gfn(0x40), gfn(0x41), pfn(0x140), eptLeaf({ rights }));
  console.log(title);
  fetchBy('kernel', modeBasedExecute);
  fetchBy('program', modeBasedExecute);
}

show('rw- page, X=0 XU=1, MBEC on', R | W | XU, true);
show('r-- page, X=0 XU=1, MBEC on', R | XU, true);
show('the same rw- leaf, MBEC off: X is for both', R | W | XU, false);
show('the same r-- leaf, MBEC off', R | XU, false);
show('rw- page, X=1, MBEC off: what is left without MBEC', R | W | X, false);
