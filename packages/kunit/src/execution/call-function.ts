import { PAGE_SIZE, type VirtualAddress } from '@heki/physical-memory';
import { type Outcome, type Vcpu, Vector } from '@heki/vcpu';
import { decodeInstruction } from './instructions.ts';

/** The most bytes that an instruction has. */
const LONGEST = 15;
/** No function of a test has more instructions. */
const MOST_STEPS = 64;

/**
 * Calls the function at `target` with `argument` in RDI, as the System V ABI has it, and gives its RAX. The processor pushes the
 * return address onto the stack below `stack`, fetches the bytes of every instruction at CPL 0, and exactly these bytes are then
 * carried out. An instruction that the model cannot carry out is #UD.
 */
export function callFunction(
  vcpu: Vcpu,
  call: { readonly target: VirtualAddress; readonly argument: bigint; readonly stack: VirtualAddress },
): Outcome<bigint> {
  const { registers } = vcpu;
  const caller = registers.rip;
  registers.rsp = (call.stack - 8n) as VirtualAddress;
  registers.rdi = call.argument;
  const pushed = vcpu.store(call.stack as VirtualAddress, 8, caller);
  if (pushed.kind !== 'done') return pushed;

  let at = call.target;
  for (let step = 0; step < MOST_STEPS; step++) {
    const left = PAGE_SIZE - Number(at % BigInt(PAGE_SIZE));
    const fetched = vcpu.fetch(at, Math.min(LONGEST, left));
    if (fetched.kind !== 'done') return fetched;
    const instruction = decodeInstruction(fetched.value);
    if (instruction === undefined) break;
    at = (at + BigInt(instruction.length)) as VirtualAddress;
    if (instruction.kind === 'lea') {
      const { target, base, displacement } = instruction;
      registers[target] = BigInt.asUintN(64, registers[base] + displacement);
    }
    if (instruction.kind === 'return') {
      const popped = vcpu.load(call.stack, 8);
      if (popped.kind !== 'done') return popped;
      registers.rip = popped.value as VirtualAddress;
      return { kind: 'done', value: registers.rax };
    }
  }
  return { kind: 'exception', vector: Vector.UD, errorCode: 0, fixedUp: false };
}
