import { encodePageList } from '@heki/hypercall/kvm';
import type { Hypervisor, VirtualMachine } from '@heki/hypervisor';
import type { Gfn, Pfn, VirtualAddress } from '@heki/physical-memory';
import { compare } from '@heki-internal/bench';
import type { KvmEvent } from './event.ts';
import { createKvm } from './kvm.ts';
import { createKvmVmm } from './policy/kvm-vmm.ts';
import { createKvmVtl } from './policy/kvm-vtl.ts';
import { createGuestOn, DIRECT_MAP, guestView, kernelVa, range, type TestGuest } from './testing/guest.ts';

const POKES = 1000;

/** Two lists, for the start and the end of a text poke of frame 0x4321. */
function lists(guest: TestGuest<VirtualMachine>): readonly [bigint, bigint] {
  const write = (permissions: number, at: number): bigint =>
    BigInt(
      encodePageList({
        memory: guestView(guest.ram, 0x10_0000 as Pfn),
        frames: [at as Gfn],
        ranges: [range(0x4321, 0x4322, permissions)],
        directMap: DIRECT_MAP as VirtualAddress,
      }),
    );
  return [write(7, 0x60), write(5, 0x61)];
}

function poker(hypervisor: Hypervisor<VirtualMachine, KvmEvent>): () => void {
  const guest = createGuestOn(hypervisor, { guestFrames: 0x1_0000, deaf: true });
  guest.protect([range(0, 0x4321, 3), range(0x4321, 0x4322, 5), range(0x4322, 0x1_0000, 3)]);
  const [start, end] = lists(guest);
  return () => {
    for (let poke = 0; poke < POKES; poke++) {
      guest.hypercall(14, start);
      guest.cpu.store(kernelVa(0x432_1000), 1, 0xccn);
      guest.hypercall(14, end);
    }
  };
}

const work = { count: 2 * POKES, of: 'hypercalls' };
await compare({
  title: 'a text poke: two hypercalls, one store',
  contenders: [
    { name: 'hardened', run: poker(createKvm()), work },
    { name: 'policy in the VMM', run: poker(createKvmVmm()), work },
    { name: 'policy in a paired VM', run: poker(createKvmVtl()), work },
    { name: 'rfc-v2 (nearly all are dropped)', run: poker(createKvm({ profile: 'rfc-v2' })), work },
  ],
});
