import { HvCall, type HvInterceptMessage, hvStatusText, LvbsFunction } from '@heki/hypercall/hyperv';
import { formatRights } from '@heki/hypervisor';
import type { HypervEvent } from './event.ts';

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

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
    case 'denied': {
      const { denial } = event;
      const what =
        denial.kind === 'register'
          ? `write of ${hex(denial.value)} to ${denial.register} (now ${hex(denial.old)})`
          : `${denial.access} of guest-physical ${hex(denial.gpa)}`;
      return `denied by VTL1: ${what}, ${event.verdict}`;
    }
    case 'protected': {
      const { applied, weakened, refused } = event.result;
      const weak = weakened.map(
        ({ range, granted }) =>
          `, ${hex(range.start)}-${hex(range.end)} weakened to ${formatRights(granted)}`,
      );
      const end = refused === undefined ? '' : `, refused at ${refused.at}: ${refused.why}`;
      return `protection by ${event.by}: ${applied} applied${weak.join('')}${end}`;
    }
    case 'pinned':
      return `pinned by ${event.by}: CR0 ${hex(event.result.cr0)}, CR4 ${hex(event.result.cr4)}`;
    case 'log':
      return event.text;
    default:
      return `${event.type} (${event.defect}): ${event.amount} ${event.unit}: ${event.text}`;
  }
}
