import { hex } from '@heki/physical-memory';
import { describePageFaultCode } from '@heki/x86';
import type { VcpuEvent } from './event.ts';
import { type Exception, Vector } from './exceptions/exception.ts';
import type { VmExit } from './exit.ts';
import type { ExitAction } from './exit-action.ts';

const VECTOR_NAMES = new Map<number, string>(
  Object.entries(Vector).map(([name, vector]) => [vector, `#${name}`]),
);

/** An exception as people write it: `#PF 0x3 (P W) at 0xffff888000000000`, `#GP(0)`. */
export function describeException({ vector, errorCode, cr2 }: Exception): string {
  const name = VECTOR_NAMES.get(vector) ?? `exception ${vector}`;
  if (vector !== Vector.PF) return `${name}(${errorCode === 0 ? 0 : hex(errorCode)})`;
  return `${name} ${describePageFaultCode(errorCode)}${cr2 === undefined ? '' : ` at ${hex(cr2)}`}`;
}

/** An exit as people write it: `EPT violation 0x18a, gpa 0xc8000, gla 0xffff888000000000`. */
export function describeExit(exit: VmExit): string {
  switch (exit.reason) {
    case 'ept-violation': {
      const gla = exit.gla === undefined ? '' : `, gla ${hex(exit.gla)}`;
      return `EPT violation ${hex(exit.qualification)}, gpa ${hex(exit.gpa)}${gla}`;
    }
    case 'ept-misconfiguration':
      return `EPT misconfiguration, gpa ${hex(exit.gpa)}`;
    case 'nested-page-fault':
      return `nested page fault ${hex(exit.info1)}, gpa ${hex(exit.gpa)}`;
    case 'mov-to-cr':
      return `MOV to CR${exit.cr} of ${hex(exit.value)}`;
    case 'hypercall':
      return 'hypercall';
    case 'vmx-instruction':
      return exit.instruction.toUpperCase();
    case 'rdmsr':
      return `RDMSR ${hex(exit.msr)}`;
    case 'wrmsr':
      return `WRMSR ${hex(exit.msr)} of ${hex(exit.value)}`;
    case 'descriptor-table':
      return `load of ${exit.register.toUpperCase()} with ${hex(exit.value)}`;
    case 'vmfunc':
      return `VMFUNC ${exit.leaf}, ${exit.index}`;
    case 'triple-fault':
      return 'triple fault';
  }
}

function describeAction(action: ExitAction): string {
  switch (action.kind) {
    case 'resume':
      return 'resume';
    case 'skip':
      return 'skip the instruction';
    case 'emulate':
      return 'carry the instruction out';
    case 'inject':
      return `inject ${describeException(action.exception)}`;
    case 'stop':
      return `stop: ${action.why}`;
  }
}

function describe(event: VcpuEvent): string {
  switch (event.type) {
    case 'access':
      return `${event.access} ${event.bytes} bytes at ${hex(event.va)}, ${event.frame === undefined ? 'emulated' : `host frame ${hex(event.frame)}`}`;
    case 'instruction':
      return event.text;
    case 'no-memory':
      return `no memory for the ${event.access} at guest-physical ${hex(event.gpa)}`;
    case 'exit':
      return `exit at ${hex(event.rip)}: ${describeExit(event.exit)}`;
    case 'entry':
      return `hypervisor: ${describeAction(event.action)}`;
    case 'exception': {
      const origin = event.injected ? 'injected ' : '';
      return `${origin}${describeException(event.exception)}, RIP ${hex(event.rip)}`;
    }
    case 'handled': {
      const name = VECTOR_NAMES.get(event.vector) ?? `exception ${event.vector}`;
      return `handler of ${name}: ${event.decision}`;
    }
    case 'flush':
      return `flush by ${event.cause}${event.va === undefined ? '' : ` of ${hex(event.va)}`}`;
    case 'livelock':
      return `livelock: a cycle of ${event.cycle.length} turns repeats itself`;
    case 'halted':
      return event.outcome.kind === 'stopped' ? `stopped: ${event.outcome.why}` : 'triple fault';
  }
}

/** An event as one line of a trace: `cpu 0: store 8 bytes at 0xffff888000000000, host frame 0x4b0`. */
export function describeVcpuEvent(event: VcpuEvent): string {
  return `cpu ${event.vcpu}: ${describe(event)}`;
}
