// Can a hypervisor make a guest's page tables read-only and the guest still run? It depends on who sets A and D.
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
import { createVcpu, type Outcome } from '@heki/vcpu';
import { createAddressSpace, entryBits, INTEL_VT_RP, pagingRegisters } from '@heki/x86';

/** A guest whose page tables, guest frames 0x10 to 0x1f, are read-only in EPT. What do its accesses meet? */
function show(
  title: string,
  setting: {
    readonly accessedDirty: boolean;
    readonly preset: boolean;
    readonly pagingWrite?: boolean;
  },
): void {
  const { accessedDirty, preset, pagingWrite = false } = setting;
  const host = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x200) }] });
  const guest = createMountedMemory<Gfn>({
    mounts: [{ start: gfn(0), frames: 0x100, memory: host, from: pfn(0x100) }],
  });
  const tables = createFrameAllocator<Gfn>({ ranges: [{ start: gfn(0x10), end: gfn(0x20) }] });
  const kernel = createAddressSpace({ memory: guest, tables, levels: 4 });
  // The direct map: guest frame N at page directMap + N, the page tables among them, writable as far as the guest knows.
  const directMap = virtualFrame(0xffff888000000);
  const flags = preset ? entryBits('P', 'RW', 'A', 'D') : entryBits('P', 'RW');
  kernel.map(directMap, virtualFrame(directMap + 0x100), gfn(0), flags, 1);

  const frames = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x100) }] });
  const editor = createEptEditor({ memory: host, frames });
  editor.map(gfn(0), gfn(0x100), pfn(0x100), eptLeaf({ rights: EptLow.R | EptLow.W }));
  editor.map(gfn(0x10), gfn(0x20), pfn(0x110), eptLeaf({ rights: EptLow.R, pagingWrite }));
  const eptp = encodeEptp({
    accessedDirty,
    root: editor.root,
  });

  const attempt = (what: string, frame: number, store: boolean): void => {
    const vcpu = createVcpu({
      id: 0,
      memory: host,
      processor: INTEL_VT_RP,
      secondLevel: createEpt({ memory: host, eptp, controls: { pagingWrite } }),
      registers: pagingRegisters({ cr3: BigInt(kernel.root) << 12n }),
      onExit: (_, exit) => ({
        kind: 'stop',
        why: exit.reason === 'ept-violation' ? describeQualification(exit.qualification) : exit.reason,
      }),
    });
    const va = virtualAddressOf(virtualFrame(directMap + frame));
    const outcome: Outcome<unknown> = store ? vcpu.store(va, 8, 0n) : vcpu.load(va, 8);
    console.log(`  ${what}: ${outcome.kind === 'stopped' ? `violation ${outcome.why}` : outcome.kind}`);
  };
  console.log(title);
  attempt('load of data', 0x40, false);
  attempt('store to data', 0x41, true);
  attempt('store to a page table', kernel.root, true);
}

show('EPT A/D off, A and D preset by the guest', { accessedDirty: false, preset: true });
show('EPT A/D off, the processor has to set A and D', { accessedDirty: false, preset: false });
show('EPT A/D on, A and D preset by the guest', { accessedDirty: true, preset: true });
show('paging-write (VT-rp, unjudged), EPT A/D on', { accessedDirty: true, preset: false, pagingWrite: true });
