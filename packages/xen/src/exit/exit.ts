import { EptQualification } from '@heki/ept';
import {
  HvmOp,
  MemAccessFlag,
  type VmEvent,
  VmEventControlRegister,
  VmEventDescriptor,
  type VmEventDetail,
  VmEventFlag,
  XenAccess,
  XenError,
  XenHypercall,
} from '@heki/hypercall/xen';
import { VcpuWaits } from '@heki/hypervisor';
import { frameOf, type Gfn, type Pfn } from '@heki/physical-memory';
import { type ExitAction, GENERAL_REGISTERS, type Vcpu, Vector, type VmExit } from '@heki/vcpu';
import { EFER } from '@heki/x86';
import { type DomainState, setAccess, useView, yieldAt } from '../domain-state.ts';
import { createOnceView, ONCE_ROOT } from '../p2m/once.ts';
import { emulatedMemory } from './emulated-memory.ts';

const RESUME: ExitAction = { kind: 'resume' };
const GENERAL_PROTECTION: ExitAction = { kind: 'inject', exception: { vector: Vector.GP, errorCode: 0 } };

type Exit<Reason extends VmExit['reason']> = Extract<VmExit, { reason: Reason }>;

/** Handles an exit of a virtual CPU. One that waits for the monitor is entered again at the same instruction, and exits again. */
export function handleExit(domain: DomainState, vcpu: Vcpu, exit: VmExit): ExitAction {
  domain.statistics.exits++;
  const view = domain.views.get(vcpu);
  if (view !== undefined && domain.once.has(vcpu)) useView(domain, vcpu, view);
  const action = handle(domain, vcpu, exit);
  return domain.shutdown === undefined ? action : { kind: 'stop', why: domain.shutdown };
}

function handle(domain: DomainState, vcpu: Vcpu, exit: VmExit): ExitAction {
  switch (exit.reason) {
    case 'ept-violation':
      return handleViolation(domain, vcpu, exit);
    case 'ept-misconfiguration':
      return { kind: 'stop', why: `EPT misconfiguration at guest-physical 0x${exit.gpa.toString(16)}` };
    case 'mov-to-cr': {
      const { cr3, cr0, cr4 } = vcpu.registers;
      const index = VmEventControlRegister[`CR${exit.cr}`];
      const old = exit.cr === 0 ? cr0 : exit.cr === 3 ? cr3 : cr4;
      return ask(domain, vcpu, { reason: 'write-ctrlreg', index, value: exit.value, old }, () => {
        const exception = vcpu.emulateMovToCr(exit.cr, exit.value);
        return exception === undefined ? { kind: 'skip' } : { kind: 'inject', exception };
      });
    }
    case 'wrmsr': {
      const old = vcpu.emulateRdmsr(exit.msr) ?? 0n;
      const { msr, value } = exit;
      return ask(domain, vcpu, { reason: 'mov-to-msr', msr: BigInt(msr), value, old }, () => {
        const exception = vcpu.emulateWrmsr(msr, value);
        return exception === undefined ? { kind: 'skip' } : { kind: 'inject', exception };
      });
    }
    case 'rdmsr': {
      const value = vcpu.emulateRdmsr(exit.msr);
      if (value === undefined) return GENERAL_PROTECTION;
      vcpu.registers.rax = value & 0xffff_ffffn;
      vcpu.registers.rdx = value >> 32n;
      return { kind: 'skip' };
    }
    case 'descriptor-table': {
      const descriptor = VmEventDescriptor[exit.register.toUpperCase() as keyof typeof VmEventDescriptor];
      return ask(domain, vcpu, { reason: 'descriptor-access', descriptor, isWrite: true }, () => {
        const exception = vcpu.emulateDescriptorLoad(exit);
        return exception === undefined ? { kind: 'skip' } : { kind: 'inject', exception };
      });
    }
    case 'hypercall':
      return handleHypercall(domain, vcpu);
    case 'vmfunc':
    case 'vmx-instruction':
      return { kind: 'inject', exception: { vector: Vector.UD, errorCode: 0 } };
    case 'nested-page-fault':
      return { kind: 'stop', why: 'this Xen runs on EPT only' };
    case 'triple-fault':
      return { kind: 'stop', why: 'triple fault: SHUTDOWN_reboot' };
  }
}

/** p2m_mem_access_check(): what the access type and the monitor make of a violation. */
function handleViolation(domain: DomainState, vcpu: Vcpu, exit: Exit<'ept-violation'>): ExitAction {
  const { gpa, gla, qualification } = exit;
  const has = (mask: number): boolean => (qualification & mask) !== 0;
  const gfn = frameOf(gpa);
  const view = domain.views.get(vcpu) ?? domain.p2m.host;
  const region = domain.regions.find(gfn);
  // No memory: the device model answers.
  if (region === undefined) return { kind: 'emulate', memory: emulatedMemory(domain) };
  const write = has(EptQualification.WRITE);
  const fetch = has(EptQualification.FETCH);
  // With accessed and dirty flags every use of a guest page table counts as a write, which a read-only table cannot take.
  const access = view.accessOf(gfn);
  const { read, write: writable, supervisorExecute } = view.rightsOf(gfn);
  const denied =
    (has(EptQualification.READ) && !read) || (write && !writable) || (fetch && !supervisorExecute);
  if (!denied) {
    // Stores to ram_ro are dropped (p2m_is_discard_write).
    if (write && region.readOnly === true) return { kind: 'emulate', memory: emulatedMemory(domain) };
    yieldAt(domain, 'fault');
    if (!view.propagate(gfn)) return { kind: 'stop', why: 'no host memory is left for p2m tables' };
    domain.emit?.({ type: 'propagated', view: view.index, gfn });
    return RESUME;
  }
  const detail: VmEventDetail = {
    reason: 'mem-access',
    frame: BigInt(gfn),
    offset: BigInt(gpa % 4096),
    linear: gla ?? 0n,
    flags:
      (has(EptQualification.READ) ? MemAccessFlag.R : 0) |
      (write ? MemAccessFlag.W : 0) |
      (fetch ? MemAccessFlag.X : 0) |
      (has(EptQualification.LINEAR_VALID) ? MemAccessFlag.GLA_VALID : 0) |
      (has(EptQualification.LINEAR_VALID)
        ? has(EptQualification.FINAL_ADDRESS)
          ? MemAccessFlag.FAULT_WITH_GLA
          : MemAccessFlag.FAULT_IN_GPT
        : 0),
  };
  const next = (gfn + 1) as Gfn;
  if (access === XenAccess.RX2RW && write) {
    setAccess(domain, view, gfn, next, XenAccess.RW);
    return RESUME;
  }
  if (access === XenAccess.N2RWX) {
    setAccess(domain, view, gfn, next, XenAccess.RWX);
    domain.channel.tell(vcpu, view.index, detail);
    return RESUME;
  }
  const reply = askMonitor(domain, vcpu, detail);
  if (reply === undefined) return RESUME;
  applyReply(domain, vcpu, reply);
  const injected = injection(domain, vcpu);
  if (injected !== undefined) return injected;
  if ((reply.flags & VmEventFlag.EMULATE_NOWRITE) !== 0) return { kind: 'skip' };
  if ((reply.flags & VmEventFlag.EMULATE) !== 0) {
    const pfn = (region.backing + (gfn - region.start)) as Pfn;
    vcpu.invept(ONCE_ROOT);
    vcpu.useSecondLevel(createOnceView((domain.views.get(vcpu) ?? view).second(), gfn, pfn), ONCE_ROOT);
    domain.once.add(vcpu);
  }
  return RESUME;
}

/** @throws {VcpuWaits} while the monitor is busy with another virtual CPU */
function askMonitor(domain: DomainState, vcpu: Vcpu, detail: VmEventDetail): VmEvent | undefined {
  if (domain.suspended) throw new VcpuWaits('the monitor answers another processor');
  return domain.channel.ask(vcpu, domain.views.get(vcpu)?.index ?? 0, detail);
}

/** Asks the monitor about a register write and carries it out unless it says DENY. */
function ask(domain: DomainState, vcpu: Vcpu, detail: VmEventDetail, proceed: () => ExitAction): ExitAction {
  const reply = askMonitor(domain, vcpu, detail);
  if (reply === undefined) return RESUME;
  applyReply(domain, vcpu, reply);
  return injection(domain, vcpu) ?? ((reply.flags & VmEventFlag.DENY) !== 0 ? { kind: 'skip' } : proceed());
}

function injection(domain: DomainState, vcpu: Vcpu): ExitAction | undefined {
  const exception = domain.injections.get(vcpu.id);
  if (exception === undefined) return undefined;
  domain.injections.delete(vcpu.id);
  return { kind: 'inject', exception };
}

/** vm_event_resume(): view and registers of a reply. Views that do not exist are ignored. */
function applyReply(domain: DomainState, vcpu: Vcpu, reply: VmEvent): void {
  if ((reply.flags & VmEventFlag.ALTERNATE_P2M) !== 0) {
    const view = domain.p2m.views[reply.view];
    if (view === undefined) domain.statistics.badReplies++;
    else {
      useView(domain, vcpu, view);
      domain.emit?.({ type: 'view-switched', vcpu: vcpu.id, view: view.index });
    }
  }
  if ((reply.flags & VmEventFlag.SET_REGISTERS) !== 0) {
    for (const name of GENERAL_REGISTERS) vcpu.registers[name] = reply.registers[name];
  }
}

/** A hypercall of the guest: it can ask the monitor, and nothing about itself. */
function handleHypercall(domain: DomainState, vcpu: Vcpu): ExitAction {
  const { registers } = vcpu;
  const wide = registers.codeSegment64 && (registers.efer & EFER.LMA) !== 0n;
  let result: number = -XenError.ENOSYS;
  if (registers.cpl !== 0) result = -XenError.EPERM;
  else if (registers.rax === BigInt(XenHypercall.HVM_OP)) {
    if (wide && registers.rdi === BigInt(HvmOp.GUEST_REQUEST_VM_EVENT)) {
      const reply = askMonitor(domain, vcpu, { reason: 'guest-request' });
      if (reply === undefined) return RESUME;
      yieldAt(domain, 'resume');
      domain.statistics.hypercalls++;
      registers.rax = 0n;
      applyReply(domain, vcpu, reply);
      return { kind: 'skip' };
    }
    // Views are for the monitor alone (XEN_ALTP2M_external), and a domain has no access operations on itself.
    if (registers.rdi === BigInt(HvmOp.ALTP2M)) result = -XenError.EPERM;
  } else if (registers.rax === BigInt(XenHypercall.MEMORY_OP)) result = -XenError.EPERM;
  domain.statistics.hypercalls++;
  registers.rax = BigInt.asUintN(wide ? 64 : 32, BigInt(result));
  return { kind: 'skip' };
}
