import { HvCall, type HvInterceptMessage, hvStatusText, LvbsFunction } from '@heki/hypercall/hyperv';
import { describeHypervisorEvent } from '@heki/hypervisor';
import { hex } from '@heki/physical-memory';
import type { HypervEvent } from './event.ts';

function nameOf(table: { readonly [name: string]: number }, value: number): string {
  return Object.entries(table).find(([, number]) => number === value)?.[0] ?? hex(value);
}

function messageText(message: HvInterceptMessage): string {
  const access = ['read', 'write', 'execute'][message.access] ?? '';
  switch (message.type) {
    case 'gpa':
      return `${access} of guest-physical ${hex(message.gpa)}`;
    case 'msr':
      return `${access} of MSR ${hex(message.msr)}, value ${hex(message.value)}`;
    case 'register':
      return `${access} of register ${hex(message.register)}, value ${hex(message.value)}`;
  }
}

/** An event as one line of a trace. */
export function describeEvent(event: HypervEvent): string {
  switch (event.type) {
    case 'vtl-entered':
      return `vCPU ${event.vcpu} enters VTL1: ${event.reason}${event.tlbLocked ? ', TLB of VTL0 locked' : ''}`;
    case 'vtl-returned':
      return `vCPU ${event.vcpu} returns to VTL0`;
    case 'intercept-message':
      return `intercept on vCPU ${event.message.vp}: ${messageText(event.message)}`;
    case 'hypercall': {
      const reps = event.repsCompleted === 0 ? '' : `, ${event.repsCompleted} done`;
      return `hypercall ${nameOf(HvCall, event.code)} of VTL${event.vtl}: ${hvStatusText(event.status)}${reps}`;
    }
    case 'secure-call':
      return `secure kernel: ${nameOf(LvbsFunction, Number(event.function))} = ${event.answer}`;
    default:
      return describeHypervisorEvent(event, 'VTL1');
  }
}
