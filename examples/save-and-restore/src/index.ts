// A guest moves to another host. Does what protects it move along?
import { deserialize, serialize } from 'node:v8';
import {
  encodePageList,
  MEM_ATTR_IMMUTABLE as FOR_EVER,
  hypercallResultText,
  KvmHypercall,
  MEM_ATTR_READ as R,
  MEM_ATTR_WRITE as W,
  MEM_ATTR_EXEC as X,
} from '@heki/hypercall/kvm';
import { formatRights, type ProtectionState } from '@heki/hypervisor';
import { createKvm } from '@heki/kvm';
import {
  createFrameAllocator,
  createMountedMemory,
  createRam,
  type Gfn,
  gfn,
  type Pfn,
  pfn,
  virtualAddress,
  virtualFrame,
} from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import { CR4, createAddressSpace, entryBits, pagingRegisters } from '@heki/x86';

/** A VM with a kernel that maps 2 MiB of text, guest frames 0x1000 to 0x11ff, writable as well. */
function createGuest(profile: Profile) {
  const host = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x8000) }] });
  const frames = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x400) }] });
  const vm = createKvm({ profile }).createVirtualMachine({ host: { memory: host, frames } });
  vm.addMemory({ start: gfn(0), frames: 0x4000, backing: pfn(0x4000) });

  const memory = createMountedMemory<Gfn>({
    mounts: [{ start: gfn(0), frames: 0x4000, memory: host, from: pfn(0x4000) }],
  });
  const tables = createFrameAllocator<Gfn>({ ranges: [{ start: gfn(0x100), end: gfn(0x140) }] });
  const kernel = createAddressSpace({ memory, tables, levels: 4 });
  const [text, end] = [virtualFrame(0xffffffff81000), virtualFrame(0xffffffff81200)];
  kernel.map(text, end, gfn(0x1000), entryBits('P', 'RW', 'A', 'D'));
  const registers = pagingRegisters({ cr3: BigInt(kernel.root) << 12n, cr4: CR4.PAE | CR4.SMEP });
  const cpu = vm.createVcpu({ registers: { ...registers, codeSegment64: true } });

  const hypercall = (rax: number, rbx: number, rcx: bigint): string => {
    Object.assign(cpu.registers, { rax: BigInt(rax), rbx: BigInt(rbx), rcx, rdx: 0n });
    cpu.vmcall();
    return hypercallResultText(Number(BigInt.asIntN(64, cpu.registers.rax)));
  };
  const directMap = virtualAddress(0xffff888000000000n);
  const protectText = (permissions: number): string => {
    const ranges = [{ start: gfn(0x1000), end: gfn(0x1200), permissions }];
    const list = encodePageList({ memory, frames: [gfn(0x200)], ranges, directMap });
    return hypercall(KvmHypercall.PROTECT_MEMORY, list, 0n);
  };
  return { vm, cpu, protectText, pinSmep: () => hypercall(KvmHypercall.LOCK_CR_UPDATE, 4, CR4.SMEP) };
}

for (const profile of ['hardened', 'rfc-v2'] as const) {
  const first = createGuest(profile);
  console.log(`${profile}, first host: text r-x for ever: ${first.protectText(R | X | FOR_EVER)}`);
  console.log(`  CR4.SMEP pinned: ${first.pinSmep()}`);

  // The snapshot is a file. Memory and registers travel as they do without Heki.
  const file = serialize(first.vm.save());
  const state: ProtectionState | undefined = deserialize(file);
  for (const { start, end, rights } of state?.ranges ?? []) {
    console.log(`  saved: 0x${start.toString(16)}-0x${end.toString(16)} ${formatRights(rights)}`);
  }
  console.log(
    `  saved: ${state ? `pins 0x${state.cr4.toString(16)} of CR4` : 'nothing, KVM cannot be asked'}`,
  );

  const { vm, cpu, protectText } = createGuest(profile);
  console.log(`${profile}, second host: restored: ${state !== undefined && vm.restore(state)}`);
  console.log(`  store to text: ${cpu.store(virtualAddress(0xffffffff81000000n), 1, 0xccn).kind}`);
  console.log(`  MOV to CR4 without SMEP: ${cpu.movToCr(4, CR4.PAE).kind}`);
  console.log(`  asking for text rwx: ${protectText(R | W | X)}`);
}
