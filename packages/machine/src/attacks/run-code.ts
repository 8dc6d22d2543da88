import type { BreakpointEffect } from '@heki/linux';
import type { VirtualAddress } from '@heki/physical-memory';
import type { Outcome, Vcpu } from '@heki/vcpu';

/** An instruction that the processor fetched and that had its effect. */
export interface RanInstruction {
  readonly address: VirtualAddress;
  readonly bytes: Uint8Array;
}

/** What code did: the instructions in their order, and RAX in the end. */
export interface RanCode {
  readonly instructions: readonly RanInstruction[];
  readonly rax: bigint;
  /** Privilege level at which it ran. */
  readonly cpl: 0 | 3;
  /**
   * `returned`: the RET of the first function. `unknown`: bytes that are not among the few instructions that are carried out here, the last of
   * {@link instructions} then. `breakpoint`: an INT3 that the kernel's handler does not go on from. `budget`: so many instructions, and no RET.
   */
  readonly end: 'returned' | 'unknown' | 'breakpoint' | 'budget';
}

/** What the kernel's breakpoint handler does on the processor that came to an INT3 at `address`; `undefined` when it goes on from nothing there. */
export type OnBreakpoint = (vcpu: Vcpu, address: VirtualAddress) => Outcome<BreakpointEffect | undefined>;

/** Instructions at most: nothing that is run here is longer. */
const MOST = 64;

type Effect =
  | { readonly kind: 'none' | 'return' | 'breakpoint' | 'unknown' }
  | { readonly kind: 'set-eax' }
  | { readonly kind: 'jump' | 'call'; readonly operand: 1 | 4 };

interface Form {
  readonly bytes: readonly number[];
  readonly length: number;
  readonly effect: Effect;
}

const NONE: Effect = { kind: 'none' };

/** The few instructions that functions of the modelled kernel and attackers' code are made of (SDM 2). */
const FORMS: readonly Form[] = [
  { bytes: [0xb8], length: 5, effect: { kind: 'set-eax' } },
  { bytes: [0xc3], length: 1, effect: { kind: 'return' } },
  { bytes: [0xcc], length: 1, effect: { kind: 'breakpoint' } },
  { bytes: [0xe8], length: 5, effect: { kind: 'call', operand: 4 } },
  { bytes: [0xe9], length: 5, effect: { kind: 'jump', operand: 4 } },
  { bytes: [0xeb], length: 2, effect: { kind: 'jump', operand: 1 } },
  { bytes: [0x90], length: 1, effect: NONE },
  { bytes: [0x66, 0x90], length: 2, effect: NONE },
  { bytes: [0x0f, 0x1f, 0x00], length: 3, effect: NONE },
  { bytes: [0x0f, 0x1f, 0x40], length: 4, effect: NONE },
  { bytes: [0x0f, 0x1f, 0x44], length: 5, effect: NONE },
  // ENDBR64, and XCHG EBX, EBX: a NOP that an attacker can recognise.
  { bytes: [0xf3, 0x0f, 0x1e, 0xfa], length: 4, effect: NONE },
];

/**
 * Has the processor run what lies at `address` up to its RET, as a call would: each instruction is fetched through the virtual CPU, so that page
 * tables and the second level judge it, and has its effect on RAX and RIP. Return addresses are kept beside the stack.
 *
 * @param onBreakpoint default: no INT3 is gone on from
 */
export function runCode(
  vcpu: Vcpu,
  address: VirtualAddress,
  onBreakpoint: OnBreakpoint = () => ({ kind: 'done', value: undefined }),
): Outcome<RanCode> {
  const instructions: RanInstruction[] = [];
  const returns: VirtualAddress[] = [];
  const { registers } = vcpu;
  const ended = (end: RanCode['end']): Outcome<RanCode> => ({
    kind: 'done',
    value: { instructions, rax: registers.rax, cpl: registers.cpl, end },
  });
  let at = address;
  /** Whether the first function goes on. */
  const follow = (transfer: BreakpointEffect): boolean => {
    if (transfer.kind === 'call') returns.push(transfer.back);
    const to = transfer.kind === 'return' ? returns.pop() : transfer.to;
    at = to ?? at;
    return to !== undefined;
  };
  while (instructions.length < MOST) {
    const fetched = fetchInstruction(vcpu, at);
    if (fetched.kind !== 'done') return fetched;
    const { bytes, effect } = fetched.value;
    const instruction = at;
    instructions.push({ address: instruction, bytes });
    const next = BigInt.asUintN(64, at + BigInt(bytes.length)) as VirtualAddress;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    at = next;
    switch (effect.kind) {
      case 'set-eax':
        registers.rax = BigInt(view.getUint32(1, true));
        break;
      case 'jump':
      case 'call': {
        const by = effect.operand === 1 ? view.getInt8(1) : view.getInt32(1, true);
        follow({
          kind: effect.kind,
          to: BigInt.asUintN(64, next + BigInt(by)) as VirtualAddress,
          back: next,
        });
        break;
      }
      case 'return':
        if (!follow({ kind: 'return' })) return ended('returned');
        break;
      case 'breakpoint': {
        const handled = onBreakpoint(vcpu, instruction);
        if (handled.kind !== 'done') return handled;
        if (handled.value === undefined) return ended('breakpoint');
        if (!follow(handled.value)) return ended('returned');
        break;
      }
      case 'unknown':
        return ended('unknown');
      case 'none':
    }
  }
  return ended('budget');
}

/** The instruction at `at`, fetched as far as is needed to know it. */
function fetchInstruction(
  vcpu: Vcpu,
  at: VirtualAddress,
): Outcome<{ readonly bytes: Uint8Array; readonly effect: Effect }> {
  let bytes = new Uint8Array();
  let candidates = FORMS;
  for (let length = 1; ; length++) {
    const fetched = vcpu.fetch(at, length);
    if (fetched.kind !== 'done') return fetched;
    bytes = Uint8Array.from(fetched.value);
    const last = length - 1;
    candidates = candidates.filter((form) => form.bytes[last] === bytes[last]);
    const [form] = candidates;
    if (form === undefined) return { kind: 'done', value: { bytes, effect: { kind: 'unknown' } } };
    if (form.bytes.length > length) continue;
    const whole = length === form.length ? fetched : vcpu.fetch(at, form.length);
    if (whole.kind !== 'done') return whole;
    return { kind: 'done', value: { bytes: Uint8Array.from(whole.value), effect: form.effect } };
  }
}
