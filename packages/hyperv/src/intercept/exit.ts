import { EptQualification } from '@heki/ept';
import {
  encodeHvIntercept,
  encodeHvResult,
  HvAccess,
  HvCall,
  type HvInterceptMessage,
  HvRegister,
  HvStatus,
} from '@heki/hypercall/hyperv';
import { VcpuWaits } from '@heki/hypervisor';
import { frameOf, type Gpa, PHYSICAL_ADDRESS_END, readBytes, writeBytes } from '@heki/physical-memory';
import { type ExitAction, type PlainAction, Vector, type VmExit } from '@heki/vcpu';
import { EFER } from '@heki/x86';
import type { CallSize } from '../hypercall/call-size.ts';
import { answerHypercall } from '../hypercall/handle-hypercall.ts';
import { type Partition, switchVtl, type VirtualProcessor, yieldAt } from '../partition/partition.ts';
import type { SecureKernel } from '../secure-kernel/secure-kernel.ts';
import { createVtl1Port } from '../secure-kernel/vtl1-port.ts';
import { emulatedMemory } from './emulated-memory.ts';
import { MISC_ENABLE, TABLE_REGISTERS } from './register-names.ts';

const RESUME: PlainAction = { kind: 'resume' };
const SKIP: PlainAction = { kind: 'skip' };
const INVALID_OPCODE: ExitAction = { kind: 'inject', exception: { vector: Vector.UD, errorCode: 0 } };
const GENERAL_PROTECTION: ExitAction = { kind: 'inject', exception: { vector: Vector.GP, errorCode: 0 } };
/** Lengths of the intercepted instructions, as the model's processor has them. */
const LENGTH = { register: 3, msr: 2, gpa: 0 } as const;

type Exit<Reason extends VmExit['reason']> = Extract<VmExit, { reason: Reason }>;
type Intercepted<Type extends HvInterceptMessage['type']> = Omit<
  Extract<HvInterceptMessage, { type: Type }>,
  'vp' | 'cpl' | 'rip' | 'rflags' | 'instructionLength'
>;

/** Handles an exit of a virtual processor out of VTL0. */
export function handleExit(
  partition: Partition,
  kernel: SecureKernel,
  processor: VirtualProcessor,
  exit: VmExit,
): ExitAction {
  partition.statistics.exits++;
  const { vcpu } = processor;
  const send = (message: Intercepted<'gpa'> | Intercepted<'msr'> | Intercepted<'register'>): PlainAction =>
    intercept(partition, kernel, processor, message);
  switch (exit.reason) {
    case 'ept-violation':
      return handleViolation(partition, exit, send);
    case 'ept-misconfiguration':
      return { kind: 'stop', why: `EPT misconfiguration at guest-physical 0x${exit.gpa.toString(16)}` };
    case 'mov-to-cr': {
      const register = exit.cr === 0 ? HvRegister.CR0 : exit.cr === 3 ? HvRegister.CR3 : HvRegister.CR4;
      return send({ type: 'register', access: HvAccess.WRITE, register, value: exit.value });
    }
    case 'wrmsr': {
      if (exit.msr === MISC_ENABLE) {
        const old = vcpu.emulateRdmsr(exit.msr) ?? 0n;
        if (((old ^ exit.value) & processor.intercepts.miscEnableMask) === 0n) {
          const exception = vcpu.emulateWrmsr(exit.msr, exit.value);
          return exception === undefined ? SKIP : { kind: 'inject', exception };
        }
      }
      return send({ type: 'msr', access: HvAccess.WRITE, msr: exit.msr, value: exit.value });
    }
    case 'rdmsr': {
      const value = vcpu.emulateRdmsr(exit.msr);
      if (value === undefined) return GENERAL_PROTECTION;
      vcpu.registers.rax = value & 0xffff_ffffn;
      vcpu.registers.rdx = value >> 32n;
      return SKIP;
    }
    case 'descriptor-table': {
      const row = TABLE_REGISTERS.find(([, name]) => name === exit.register);
      if (row === undefined || (processor.intercepts.control & row[2]) === 0n) {
        // All four exit as soon as one is intercepted.
        const exception = vcpu.emulateDescriptorLoad(exit);
        return exception === undefined ? SKIP : { kind: 'inject', exception };
      }
      const value = exit.value | (BigInt(exit.limit ?? 0) << 64n);
      return send({ type: 'register', access: HvAccess.WRITE, register: row[0], value });
    }
    case 'hypercall':
      return handleHypercall(partition, kernel, processor);
    case 'vmfunc':
    case 'vmx-instruction':
      return INVALID_OPCODE;
    case 'nested-page-fault':
      return { kind: 'stop', why: 'this Hyper-V runs on EPT only' };
    case 'triple-fault':
      return { kind: 'stop', why: 'triple fault: the partition is reset' };
  }
}

function handleViolation(
  partition: Partition,
  { gpa, gla, qualification }: Exit<'ept-violation'>,
  send: (message: Intercepted<'gpa'>) => PlainAction,
): ExitAction {
  const has = (mask: number): boolean => (qualification & mask) !== 0;
  const region = partition.regions.find(frameOf(gpa));
  const write = has(EptQualification.WRITE);
  const rights = partition.memory[0].rightsOf(frameOf(gpa));
  // No memory, or a ROM that takes no store: the virtualization stack answers.
  if (region === undefined || (region.readOnly === true && write && rights.write)) {
    const memory = emulatedMemory(partition, ({ linear, ...refused }) =>
      send({ type: 'gpa', ...refused, gpa: BigInt(refused.gpa), gva: linear, final: true }),
    );
    return { kind: 'emulate', memory };
  }
  const fetch = has(EptQualification.FETCH);
  return send({
    type: 'gpa',
    access: fetch ? HvAccess.EXECUTE : write ? HvAccess.WRITE : HvAccess.READ,
    gpa: BigInt(gpa),
    gva: gla,
    final: has(EptQualification.FINAL_ADDRESS),
  });
}

/** Suspends VTL0 at the instruction and wakes VTL1 with a synthetic message; what it decided is done then. */
function intercept(
  partition: Partition,
  kernel: SecureKernel,
  processor: VirtualProcessor,
  what: Intercepted<'gpa'> | Intercepted<'msr'> | Intercepted<'register'>,
): PlainAction {
  const { vcpu } = processor;
  const { rip, rflags, cpl } = vcpu.registers;
  const instructionLength = LENGTH[what.type];
  const message = { ...what, vp: vcpu.id, cpl, rip, rflags, instructionLength } as HvInterceptMessage;
  processor.pending = undefined;
  processor.completed = false;
  processor.next = instructionLength === 0 ? undefined : rip + BigInt(instructionLength);
  partition.statistics.intercepts++;
  partition.emit?.({ type: 'intercept-message', message });
  enter(partition, processor, 'intercept', () =>
    kernel.onIntercept(createVtl1Port(partition, processor), encodeHvIntercept(message)),
  );
  processor.next = undefined;
  const { pending } = processor;
  if (pending !== undefined) return { kind: 'inject', exception: pending };
  return processor.completed ? SKIP : RESUME;
}

/** VTL1 runs, with its own second level, until it returns. */
function enter(
  partition: Partition,
  processor: VirtualProcessor,
  reason: 'vtl-call' | 'intercept',
  run: () => void,
): void {
  const vcpu = processor.vcpu.id;
  const tlbLocked = (partition.secureConfig & 2n) !== 0n;
  switchVtl(partition, processor, 1);
  partition.emit?.({ type: 'vtl-entered', vcpu, reason, tlbLocked });
  run();
  switchVtl(partition, processor, 0);
  partition.emit?.({ type: 'vtl-returned', vcpu });
}

/** VMCALL of VTL0: RCX is the control word, RDX and R8 the addresses of input and output, RAX the result. */
function handleHypercall(
  partition: Partition,
  kernel: SecureKernel,
  processor: VirtualProcessor,
): ExitAction {
  const { registers } = processor.vcpu;
  const wide = registers.codeSegment64 && (registers.efer & EFER.LMA) !== 0n;
  // Only the kernel calls, and only in 64-bit mode here (TLFS 3.3: otherwise #UD).
  if (registers.cpl !== 0 || !wide) return INVALID_OPCODE;
  const control = registers.rcx;
  if (control === BigInt(HvCall.VTL_CALL)) {
    if (partition.suspended) throw new VcpuWaits('VTL1 takes a call of another processor');
    partition.statistics.vtlCalls++;
    enter(partition, processor, 'vtl-call', () =>
      kernel.onVtlCall(createVtl1Port(partition, processor), registers),
    );
    yieldAt(partition, 'resume');
    return SKIP;
  }
  if (control === BigInt(HvCall.VTL_RETURN)) return INVALID_OPCODE;
  const fast = (control & (1n << 16n)) !== 0n;
  let { status, repsCompleted, output } = answerHypercall(partition, processor, 0, control, (size) =>
    fast ? fastInput(registers.rdx, registers.r8) : readInput(partition, registers.rdx, registers.r8, size),
  );
  if (output.length > 0 && !writeOutput(partition, registers.r8, output)) {
    status = HvStatus.INVALID_HYPERCALL_INPUT;
    repsCompleted = 0;
  }
  registers.rax = encodeHvResult({ status, repsCompleted });
  return SKIP;
}

function fastInput(rdx: bigint, r8: bigint): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, rdx, true);
  view.setBigUint64(8, r8, true);
  return bytes;
}

/**
 * Input and output lie each in one page, from an 8-byte boundary on, and VTL0 must be able to read its input itself: checked and answered in the order of
 * openvmm (`InnerDispatcher::dispatch_inner`).
 */
function readInput(
  { regions, memory }: Partition,
  input: bigint,
  output: bigint,
  size: CallSize,
): Uint8Array | number {
  for (const [address, bytes] of [[input, size.input] as const, [output, size.output] as const]) {
    if (Number(address % 4096n) + bytes > 4096) return HvStatus.INVALID_HYPERCALL_INPUT;
    if (bytes !== 0 && address % 8n !== 0n) return HvStatus.INVALID_ALIGNMENT;
  }
  if (input >= BigInt(PHYSICAL_ADDRESS_END)) return HvStatus.INVALID_HYPERCALL_INPUT;
  const gpa = Number(input) as Gpa;
  if (!memory[0].rightsOf(frameOf(gpa)).read) return HvStatus.INVALID_HYPERCALL_INPUT;
  const bytes = new Uint8Array(size.input);
  return readBytes(regions.memory, gpa, bytes) === bytes.length ? bytes : HvStatus.INVALID_HYPERCALL_INPUT;
}

/** What the hypervisor writes for VTL0 is bound by VTL0's protection. */
function writeOutput({ regions, memory }: Partition, address: bigint, bytes: Uint8Array): boolean {
  if (address >= BigInt(PHYSICAL_ADDRESS_END)) return false;
  const gpa = Number(address) as Gpa;
  if (!memory[0].rightsOf(frameOf(gpa)).write) return false;
  return writeBytes(regions.memory, gpa, bytes) === bytes.length;
}
