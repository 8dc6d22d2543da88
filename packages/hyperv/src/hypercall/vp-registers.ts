import {
  decodeHvGetRegisters,
  decodeHvPendingException,
  decodeHvSetRegisters,
  HV_PARTITION_SELF,
  HV_VP_SELF,
  type HvControl,
  HvRegister,
  type HvRegisterTarget,
  type HvResult,
  HvSecureVtlConfig,
  HvStatus,
  HvVsmPartitionConfig,
} from '@heki/hypercall/hyperv';
import type { VirtualAddress } from '@heki/physical-memory';
import { applyIntercepts } from '../intercept/apply-intercepts.ts';
import { msrOfRegister, TABLE_REGISTERS } from '../intercept/register-names.ts';
import { isProtectionMask } from '../partition/map-flags.ts';
import { flush, type Partition, switchVtl, type VirtualProcessor } from '../partition/partition.ts';

const CONFIG_BITS =
  HvVsmPartitionConfig.ENABLE_VTL_PROTECTION | (0xfn << HvVsmPartitionConfig.DEFAULT_PROTECTION_SHIFT);
const SECURE_BITS = HvSecureVtlConfig.MBEC_ENABLED | HvSecureVtlConfig.TLB_LOCKED;
/** Enabled VTLs in bits 15:0, the highest VTL in 19:16. */
const PARTITION_STATUS = 0b11n | (1n << 16n);

/** Which processor a call means, and the VTL; a status when there is none or the caller may not. */
function resolve(
  partition: Partition,
  processor: VirtualProcessor | undefined,
  callerVtl: 0 | 1,
  target: HvRegisterTarget,
): { readonly vp: VirtualProcessor; readonly vtl: 0 | 1 } | number {
  if (target.partition !== HV_PARTITION_SELF) return HvStatus.ACCESS_DENIED;
  const vp = target.vp === HV_VP_SELF ? processor : partition.processors[target.vp];
  if (vp === undefined) return HvStatus.INVALID_VP_INDEX;
  const vtl = target.vtl ?? callerVtl;
  if (vtl > callerVtl) return HvStatus.ACCESS_DENIED;
  return { vp, vtl: vtl === 0 ? 0 : 1 };
}

/** HvCallSetVpRegisters, from the rep start on until the first that fails. Only VTL1 has the privilege. */
export function setVpRegisters(
  partition: Partition,
  processor: VirtualProcessor | undefined,
  callerVtl: 0 | 1,
  { repCount, repStart }: HvControl,
  input: Uint8Array,
): HvResult {
  if (callerVtl === 0) return { status: HvStatus.ACCESS_DENIED, repsCompleted: 0 };
  const decoded = decodeHvSetRegisters(input, repCount);
  if (!decoded.ok) return { status: HvStatus.INVALID_PARAMETER, repsCompleted: repStart };
  const target = resolve(partition, processor, callerVtl, decoded.message);
  if (typeof target === 'number') return { status: target, repsCompleted: repStart };
  for (let i = repStart; i < repCount; i++) {
    const { name, value } = decoded.message.values[i] ?? { name: 0, value: 0n };
    const done =
      target.vtl === 0 ? setLower(target.vp, name, value) : setOwn(partition, target.vp, name, value);
    if (!done) return { status: HvStatus.INVALID_PARAMETER, repsCompleted: i };
  }
  return { status: HvStatus.SUCCESS, repsCompleted: repCount };
}

/** A register of VTL0. */
function setLower(vp: VirtualProcessor, name: number, value: bigint): boolean {
  const { vcpu } = vp;
  const low = BigInt.asUintN(64, value);
  switch (name) {
    case HvRegister.CR0:
      return vcpu.emulateMovToCr(0, low) === undefined;
    case HvRegister.CR3:
      return vcpu.emulateMovToCr(3, low) === undefined;
    case HvRegister.CR4:
      return vcpu.emulateMovToCr(4, low) === undefined;
    case HvRegister.RIP:
      // The model's instructions end in one way: the one that was intercepted is over.
      if (vp.next === undefined || low !== vp.next) return false;
      vp.completed = true;
      return true;
    case HvRegister.PENDING_EVENT: {
      const exception = decodeHvPendingException(value);
      if (exception === undefined || exception.vector > 31) return false;
      const { vector, errorCode, parameter } = exception;
      vp.pending = { vector, errorCode, ...(vector === 14 ? { cr2: parameter as VirtualAddress } : {}) };
      return true;
    }
    default: {
      const table = TABLE_REGISTERS.find(([register]) => register === name)?.[1];
      if (table !== undefined) {
        const limit = Number((value >> 64n) & 0xffffn);
        return vcpu.emulateDescriptorLoad({ register: table, value: low, limit }) === undefined;
      }
      const msr = msrOfRegister(name);
      return msr !== undefined && vcpu.emulateWrmsr(msr, low) === undefined;
    }
  }
}

/** A register by which VTL1 configures what it does to VTL0. */
function setOwn(partition: Partition, vp: VirtualProcessor, name: number, value: bigint): boolean {
  const { intercepts } = vp;
  switch (name) {
    case HvRegister.VSM_PARTITION_CONFIG: {
      const flags = Number((value >> HvVsmPartitionConfig.DEFAULT_PROTECTION_SHIFT) & 0xfn);
      const { mbec } = partition.memory[0];
      if ((value & ~CONFIG_BITS) !== 0n || !isProtectionMask(flags, mbec)) return false;
      partition.config = value;
      reconfigure(partition, flags, mbec);
      return true;
    }
    case HvRegister.VSM_SECURE_CONFIG_VTL0: {
      const mbec = (value & HvSecureVtlConfig.MBEC_ENABLED) !== 0n;
      if ((value & ~SECURE_BITS) !== 0n) return false;
      if (mbec && partition.options.processor.ept?.modeBasedExecute !== true) return false;
      partition.secureConfig = value;
      if (mbec !== partition.memory[0].mbec) reconfigure(partition, partition.memory[0].defaultFlags, mbec);
      return true;
    }
    case HvRegister.CR_INTERCEPT_CONTROL:
      intercepts.control = value;
      break;
    case HvRegister.CR_INTERCEPT_CR0_MASK:
      intercepts.cr0Mask = value;
      break;
    case HvRegister.CR_INTERCEPT_CR4_MASK:
      intercepts.cr4Mask = value;
      break;
    case HvRegister.CR_INTERCEPT_MISC_ENABLE_MASK:
      intercepts.miscEnableMask = value;
      break;
    default:
      return false;
  }
  applyIntercepts(vp);
  return true;
}

/** Starts VTL0's protections over, with another default or other execute control. */
function reconfigure(partition: Partition, flags: number, mbec: boolean): void {
  partition.memory[0].configure(flags, mbec);
  for (const vp of partition.processors) switchVtl(partition, vp, vp.activeVtl);
  flush(partition);
}

/** HvCallGetVpRegisters. VTL0 can ask for the VSM status of the partition alone. */
export function getVpRegisters(
  partition: Partition,
  processor: VirtualProcessor | undefined,
  callerVtl: 0 | 1,
  { repCount, repStart }: HvControl,
  input: Uint8Array,
): HvResult & { readonly output: Uint8Array } {
  const none = new Uint8Array();
  const decoded = decodeHvGetRegisters(input, repCount);
  if (!decoded.ok) return { status: HvStatus.INVALID_PARAMETER, repsCompleted: repStart, output: none };
  const target = resolve(partition, processor, callerVtl, decoded.message);
  if (typeof target === 'number') return { status: target, repsCompleted: repStart, output: none };
  const output = new Uint8Array(16 * repCount);
  const view = new DataView(output.buffer);
  for (let i = repStart; i < repCount; i++) {
    const name = decoded.message.names[i] ?? 0;
    if (callerVtl === 0 && name !== HvRegister.VSM_PARTITION_STATUS) {
      return { status: HvStatus.ACCESS_DENIED, repsCompleted: i, output };
    }
    const value = target.vtl === 0 ? getLower(target.vp, name) : getOwn(partition, target.vp, name);
    if (value === undefined) return { status: HvStatus.INVALID_PARAMETER, repsCompleted: i, output };
    view.setBigUint64(16 * i, BigInt.asUintN(64, value), true);
    view.setBigUint64(16 * i + 8, BigInt.asUintN(64, value >> 64n), true);
  }
  return { status: HvStatus.SUCCESS, repsCompleted: repCount, output };
}

function getLower({ vcpu }: VirtualProcessor, name: number): bigint | undefined {
  const { registers } = vcpu;
  switch (name) {
    case HvRegister.VSM_PARTITION_STATUS:
      return PARTITION_STATUS;
    case HvRegister.RIP:
      return registers.rip;
    case HvRegister.CR0:
      return registers.cr0;
    case HvRegister.CR3:
      return registers.cr3;
    case HvRegister.CR4:
      return registers.cr4;
    case HvRegister.GDTR:
      return registers.gdtr.base | (BigInt(registers.gdtr.limit) << 64n);
    case HvRegister.IDTR:
      return (registers.idtr?.base ?? 0n) | (BigInt(registers.idtr?.limit ?? 0) << 64n);
    case HvRegister.LDTR:
      return BigInt(registers.ldtr);
    case HvRegister.TR:
      return BigInt(registers.tr);
    default: {
      const msr = msrOfRegister(name);
      return msr === undefined ? undefined : vcpu.emulateRdmsr(msr);
    }
  }
}

function getOwn(partition: Partition, { intercepts }: VirtualProcessor, name: number): bigint | undefined {
  switch (name) {
    case HvRegister.VSM_PARTITION_STATUS:
      return PARTITION_STATUS;
    case HvRegister.VSM_PARTITION_CONFIG:
      return partition.config;
    case HvRegister.VSM_SECURE_CONFIG_VTL0:
      return partition.secureConfig;
    case HvRegister.CR_INTERCEPT_CONTROL:
      return intercepts.control;
    case HvRegister.CR_INTERCEPT_CR0_MASK:
      return intercepts.cr0Mask;
    case HvRegister.CR_INTERCEPT_CR4_MASK:
      return intercepts.cr4Mask;
    case HvRegister.CR_INTERCEPT_MISC_ENABLE_MASK:
      return intercepts.miscEnableMask;
    default:
      return undefined;
  }
}
