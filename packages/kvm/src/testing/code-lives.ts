import { buildImage, type SignedCode } from '@heki/code-authority';
import {
  codeExtents,
  encodeCodeLoad,
  encodeCodePokes,
  encodeCodeSeal,
  KvmHypercall,
} from '@heki/hypercall/kvm';
import type { GuestPlaces, LifeStep } from '@heki/hypervisor/conformance';
import type { Gfn, Gpa } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { KvmVirtualMachine } from '../virtual-machine.ts';
import { KERNEL_BASE, kernelCode, MODULE_BASE, MODULE_CODE, partAt } from './tiny-code.ts';

/** Frames that lives access. */
const [TEXT, MODULE_TEXT, MODULE_INIT, PAGE] = [0x300, 0x400, 0x201, 0x5ff];
/** Where the file of the module lies. */
const FILE = 0x2400;
const LISTS = 4;

const KERNEL = kernelCode('trace');
/** What the owner of {@link codeLives} goes by: every file is the module. */
export const LIFE_CODE: SignedCode = { kernel: KERNEL, readImage: () => MODULE_CODE };

/** What can happen to a VM whose code has an owner, beside what can to any: all requests, and resets. */
export function codeLives({ vm, scratch }: GuestPlaces<KvmVirtualMachine>): readonly LifeStep[] {
  const list = scratch * 4096;
  const lists = Array.from({ length: LISTS }, (_, index) => (scratch + index) as Gfn);
  const step = (name: string, run: LifeStep['run']): LifeStep => ({ name, run });
  const ask = (cpu: Vcpu, number: number, ...args: readonly bigint[]): string => {
    const [rbx = 0n, rcx = 0n, rdx = 0n] = args;
    Object.assign(cpu.registers, { rax: BigInt(number), rbx, rcx, rdx, rsi: 0n });
    return `${cpu.vmcall().kind} ${BigInt.asIntN(32, cpu.registers.rax)}`;
  };
  const withList = (cpu: Vcpu, number: number, pages: readonly Uint8Array[]): string => {
    for (const [index, page] of pages.entries()) vm.write('vmm', (list + index * 4096) as Gpa, page);
    return ask(cpu, number, BigInt(list));
  };
  const { CODE_SEAL, CODE_LOAD, CODE_POKE, CODE_RETIRE, CODE_TRAMPOLINE } = KvmHypercall;
  return [
    ...['first', 'again'].map((when) =>
      step(`seal ${when}`, (cpu, below) => {
        const built = buildImage(KERNEL, [KERNEL_BASE], [below(2), 0], () => undefined);
        const [bytes] = built.ok ? built.parts : [];
        if (when === 'first' && bytes !== undefined) vm.write('vmm', (TEXT * 4096) as Gpa, bytes);
        const states = [{ site: 0, state: below(2) }];
        return withList(
          cpu,
          CODE_SEAL,
          encodeCodeSeal({ parts: [partAt(KERNEL_BASE, TEXT)], states }, lists),
        );
      }),
    ),
    ...['one', 'another'].map((which) =>
      step(`load ${which}`, (cpu) => {
        const parts = [partAt(MODULE_BASE, MODULE_TEXT), partAt(MODULE_BASE + 0x1000n, MODULE_INIT)];
        const file = { bytes: 100, extents: codeExtents([FILE as Gfn]) };
        return withList(cpu, CODE_LOAD, encodeCodeLoad({ file, parts, states: [] }, lists));
      }),
    ),
    step('poke', (cpu, below) =>
      withList(cpu, CODE_POKE, [encodeCodePokes([{ image: 1 + below(3), site: below(2), state: below(2) }])]),
    ),
    step('retire', (cpu, below) => ask(cpu, CODE_RETIRE, BigInt(2 + below(4)), BigInt(below(2)))),
    step('page', (cpu) =>
      ask(cpu, CODE_TRAMPOLINE, 0xffff_ffff_0000_0000n, BigInt(PAGE * 4096), MODULE_BASE + 0x9000n),
    ),
    step('reset', (_cpu, below) => {
      if (below(8) === 0) vm.lifeCycle({ kind: 'reset' });
      return 'done';
    }),
  ];
}
