import { Errno } from '@heki/hypercall/errno';
import {
  decodeHvIntercept,
  decodeLvbsRanges,
  encodeHvPendingException,
  HvAccess,
  type HvInterceptMessage,
  HvRegister,
  LvbsFunction,
  type LvbsRange,
  LvbsSection,
  type LvbsTextPatch,
  mapFlagsOfAttributes,
} from '@heki/hypercall/hyperv';
import {
  type Capabilities,
  type Denial,
  type MemoryAccess,
  type PinRequest,
  type PinResult,
  type ProtectionRange,
  type ProtectionResult,
  type Refusal,
  registerName,
} from '@heki/hypervisor';
import { frameOf, type Gpa, readBytes, type VirtualAddress } from '@heki/physical-memory';
import { type Registers, Vector } from '@heki/vcpu';
import { MSR_REGISTERS, TABLE_REGISTERS } from '../intercept/register-names.ts';
import type { ResolvedOptions } from '../options.ts';
import { rightsOfFlags } from '../partition/map-flags.ts';
import { createLockedRegisters, LOCK_ALL, type LockedRegisters } from './locked-registers.ts';
import { createMemoryPolicy, type SavedMemoryPolicy } from './memory-policy.ts';
import { createModules, type Modules, type SavedModules } from './modules.ts';
import { createTextPatches } from './text-patches.ts';
import type { Vtl1 } from './vtl1-port.ts';

/** The registers that a VTL call passes through: general registers belong to both VTLs. */
type CallRegisters = Pick<Registers, 'rdi' | 'rsi' | 'rdx' | 'r8'>;

/** What runs in VTL1 and owns the policy. The hypervisor enters it, and it calls the hypervisor; it trusts VTL0 in nothing. */
export interface SecureKernel {
  /** Entry reason 1: a function in RDI, arguments in RSI, RDX and R8; the answer goes into R8. */
  onVtlCall(vtl1: Vtl1, registers: CallRegisters): void;
  /** Entry reason 3, with the bytes of the synthetic message. */
  onIntercept(vtl1: Vtl1, message: Uint8Array): void;
  /** Protects as the owner of the policy wants, without regard to what was promised. */
  protect(vtl1: Vtl1, ranges: readonly ProtectionRange[]): ProtectionResult;
  pin(vtl1: Vtl1, request: PinRequest, by: 'guest' | 'policy-owner'): PinResult;
  /** Reset: everything promised is forgotten. */
  clear(vtl1: Vtl1): void;
  readonly locked: LockedRegisters;
  readonly modules: Pick<Modules, 'trust' | 'trustKexec'>;
  /** What it knows beside registers: pages, patches, modules. */
  save(): SavedSecureKernel;
  replace(saved: SavedSecureKernel): void;
  /** Requests of VTL0 for protection are refused from now on. */
  endOfBoot: boolean;
}

/** The memory of the secure kernel, beside locked registers. */
export interface SavedSecureKernel {
  readonly policy: SavedMemoryPolicy;
  readonly patches: readonly LvbsTextPatch[];
  readonly modules: SavedModules;
}

const REFUSALS: { readonly [field: string]: Refusal } = { pages: 'too-much', range: 'empty' };

export function createSecureKernel(
  capabilities: Capabilities,
  { rangePages, trusted, defects }: Pick<ResolvedOptions, 'rangePages' | 'trusted' | 'defects'>,
): SecureKernel {
  const policy = createMemoryPolicy(capabilities);
  const patches = createTextPatches(defects);
  const modules = createModules(policy, patches, trusted, defects);
  const locked = createLockedRegisters();
  let endOfBoot = false;

  function read(vtl1: Vtl1, first: bigint, total: bigint): readonly LvbsRange[] | Refusal {
    const decoded = decodeLvbsRanges({ memory: vtl1.memory, first, total, mostPages: rangePages });
    vtl1.yieldAt('guest-read');
    return decoded.ok ? decoded.message : (REFUSALS[decoded.fault.field] ?? 'bad-request');
  }

  /** PROTECT_MEMORY: all of the list is checked before any of it is done. */
  function protectMemory(vtl1: Vtl1, first: bigint, total: bigint): number {
    const answer = (result: ProtectionResult): number => {
      vtl1.emit({ type: 'protected', by: 'guest', result });
      if (result.refused === undefined) return 0;
      const { why } = result.refused;
      return -(why === 'not-permitted' || why === 'immutable'
        ? Errno.EPERM
        : why === 'no-memory'
          ? Errno.ENOMEM
          : Errno.EINVAL);
    };
    const refuse = (at: number, why: Refusal): number =>
      answer({ applied: 0, weakened: [], refused: { at, why } });
    if (endOfBoot) return refuse(-1, 'not-permitted');
    const list = read(vtl1, first, total);
    if (typeof list === 'string') return refuse(-1, list);
    const ranges: ProtectionRange[] = [];
    for (const [at, { pa, epa, attributes }] of list.entries()) {
      if (pa % 4096 !== 0 || epa % 4096 !== 0) return refuse(at, 'misaligned');
      const range = {
        start: frameOf(pa),
        end: frameOf(epa),
        rights: rightsOfFlags(mapFlagsOfAttributes(attributes)),
      };
      const why = policy.check(vtl1, range);
      if (why !== undefined) return refuse(at, why);
      if (policy.isClaimed(range.start, range.end)) return refuse(at, 'immutable');
      ranges.push(range);
    }
    return answer(policy.protect(vtl1, ranges));
  }

  /** LOAD_KDATA: patches of the kernel's own text, while the kernel is still trusted. */
  function loadData(vtl1: Vtl1, first: bigint, total: bigint): number {
    if (endOfBoot) return -Errno.EPERM;
    const ranges = read(vtl1, first, total);
    if (typeof ranges === 'string') return -Errno.EINVAL;
    for (const { pa, epa, attributes } of ranges) {
      if (attributes !== LvbsSection.PATCHES) return -Errno.EINVAL;
      if (epa - pa > 4096 * rangePages) return -Errno.E2BIG;
      const bytes = new Uint8Array(epa - pa);
      if (readBytes(vtl1.memory, pa, bytes) < bytes.length) return -Errno.EFAULT;
      const list = patches.read(bytes);
      if (list === undefined) return -Errno.EINVAL;
      if (!patches.add(list)) return -Errno.ENOMEM;
    }
    return 0;
  }

  function validateModule(vtl1: Vtl1, first: bigint, total: bigint): number {
    const ranges = read(vtl1, first, total);
    return typeof ranges === 'string' ? -Errno.EINVAL : modules.validate(vtl1, ranges);
  }

  /** KEXEC_VALIDATE: without a list it only releases. */
  function validateKexec(vtl1: Vtl1, first: bigint, total: bigint, crash: bigint): number {
    const ranges = first === 0n ? [] : read(vtl1, first, total);
    return typeof ranges === 'string' ? -Errno.EINVAL : modules.kexec(vtl1, ranges, crash !== 0n);
  }

  function pin(vtl1: Vtl1, request: PinRequest, by: 'guest' | 'policy-owner'): PinResult {
    const result = locked.lock(vtl1, request);
    vtl1.emit({ type: 'pinned', by, result });
    return result;
  }

  function call(vtl1: Vtl1, { rdi: fn, rsi: first, rdx: second, r8: third }: CallRegisters): number {
    switch (Number(fn)) {
      case LvbsFunction.ENABLE_APS:
      case LvbsFunction.BOOT_APS:
        // Every virtual processor has its VTL1 from its creation on.
        return 0;
      case LvbsFunction.LOCK_REGS:
        pin(vtl1, LOCK_ALL, 'guest');
        return 0;
      case LvbsFunction.SIGNAL_END_OF_BOOT:
        if (endOfBoot) return -Errno.EPERM;
        endOfBoot = true;
        return 0;
      case LvbsFunction.PROTECT_MEMORY:
        return protectMemory(vtl1, first, second);
      case LvbsFunction.LOAD_KDATA:
        return loadData(vtl1, first, second);
      case LvbsFunction.VALIDATE_MODULE:
        return validateModule(vtl1, first, second);
      case LvbsFunction.FREE_MODULE_INIT:
        return modules.freeInit(vtl1, first);
      case LvbsFunction.UNLOAD_MODULE:
        return modules.unload(vtl1, first);
      case LvbsFunction.KEXEC_VALIDATE:
        return validateKexec(vtl1, first, second, third);
      case LvbsFunction.PATCH_TEXT:
        return patches.patch(vtl1, first);
      default:
        return -Errno.ENOSYS;
    }
  }

  return {
    locked,
    modules,
    pin,
    get endOfBoot() {
      return endOfBoot;
    },
    set endOfBoot(ended) {
      endOfBoot = ended;
    },
    onVtlCall(vtl1, registers) {
      const { rdi } = registers;
      const answer = call(vtl1, registers);
      registers.r8 = BigInt.asUintN(64, BigInt(answer));
      vtl1.emit({ type: 'secure-call', vcpu: vtl1.vp, function: rdi, answer });
    },
    onIntercept(vtl1, bytes) {
      const decoded = decodeHvIntercept(bytes);
      if (!decoded.ok) return;
      const message = decoded.message;
      const write = registerWrite(message);
      const next = { name: HvRegister.RIP, value: message.rip + BigInt(message.instructionLength) };
      if (write !== undefined && locked.allows(vtl1, message.vp, write.name, write.value)) {
        // A value that the processor does not take is #GP for VTL0 as it would have been.
        if (vtl1.set(message.vp, 0, write, next)) return;
      } else {
        vtl1.emit({
          type: 'denied',
          vcpu: message.vp,
          denial: denialOf(vtl1, message, write),
          verdict: 'general-protection',
        });
      }
      const fault = encodeHvPendingException({ vector: Vector.GP, errorCode: 0, parameter: 0n });
      vtl1.set(message.vp, 0, { name: HvRegister.PENDING_EVENT, value: fault });
    },
    protect(vtl1, ranges) {
      const result = policy.protect(vtl1, ranges);
      vtl1.emit({ type: 'protected', by: 'policy-owner', result });
      return result;
    },
    save: () => ({ policy: policy.save(), patches: patches.save(), modules: modules.save() }),
    replace(saved) {
      policy.replace(saved.policy);
      patches.clear();
      patches.add(saved.patches);
      modules.replace(saved.modules);
    },
    clear(vtl1) {
      endOfBoot = false;
      policy.clear();
      patches.clear();
      modules.clear();
      locked.clear(vtl1);
    },
  };
}

/** The register write in a message: what would be done if it is allowed. */
function registerWrite(
  message: HvInterceptMessage,
): { readonly name: number; readonly value: bigint } | undefined {
  if (message.type === 'register') return { name: message.register, value: message.value };
  if (message.type !== 'msr') return undefined;
  const name = MSR_REGISTERS.find(([, msr]) => msr === message.msr)?.[0];
  return name === undefined ? undefined : { name, value: message.value };
}

function denialOf(
  vtl1: Vtl1,
  message: HvInterceptMessage,
  write: { readonly name: number; readonly value: bigint } | undefined,
): Denial {
  if (message.type === 'gpa') {
    return {
      kind: 'memory',
      gpa: Number(message.gpa) as Gpa,
      linear: message.gva as VirtualAddress | undefined,
      access: accessOf(message),
    };
  }
  const table = TABLE_REGISTERS.find(([name]) => name === write?.name)?.[1];
  const register =
    message.type === 'msr'
      ? registerName({ msr: message.msr })
      : (table ?? (write?.name === HvRegister.CR0 ? 'cr0' : 'cr4'));
  const old = write === undefined ? 0n : (vtl1.get(message.vp, 0, write.name) ?? 0n);
  return { kind: 'register', register, old, value: message.value };
}

function accessOf(message: Extract<HvInterceptMessage, { type: 'gpa' }>): MemoryAccess {
  const write = message.access === HvAccess.WRITE;
  if (message.gva !== undefined && !message.final) return write ? 'page-walk-update' : 'page-walk';
  if (message.access === HvAccess.EXECUTE) return message.cpl === 3 ? 'user-execute' : 'supervisor-execute';
  return write ? 'write' : 'read';
}
