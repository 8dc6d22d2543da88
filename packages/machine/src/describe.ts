import { type GuestEvent, HekiCommand, type VirtualRange } from '@heki/guest';
import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import type { LinuxEvent } from '@heki/linux';
import { hex, virtualAddressOf } from '@heki/physical-memory';
import type { ExitAction, VcpuEvent, VmExit } from '@heki/vcpu';
import { exceptionText } from './attacks/verdict.ts';
import type { MachineEvent, TraceEvent } from './event.ts';

const COMMAND_NAMES = new Map<number, string>([
  [HekiCommand.MAP, 'map'],
  [HekiCommand.UPDATE, 'update'],
  [HekiCommand.UNMAP, 'unmap'],
  [HekiCommand.PROTECT_MEMORY, 'protect'],
]);

const BOOT_STEPS = {
  'init-platform': 'init_platform: is there a hypervisor with Heki?',
  'early-init': 'heki_early_init',
  'late-init': 'heki_late_init',
} as const;

/** An event of a machine with `hypervisor` as one line: who reports it, padded to one width, and what happened. */
export function describeTraceEvent<VM extends VirtualMachine, Event extends BackendEvent>(
  hypervisor: Hypervisor<VM, Event>,
  event: TraceEvent<Event>,
): string {
  switch (event.from) {
    case 'machine':
      return line('machine', machineText(event.event));
    case 'kernel':
      return line('kernel', kernelText(event.event));
    case 'guest':
      return line('guest', guestText(event.event));
    case 'vcpu':
      return line(`vcpu${event.event.vcpu}`, vcpuText(event.event));
    case 'hypervisor':
      return line(hypervisor.name, hypervisor.describe(event.event));
  }
}

function line(from: string, text: string): string {
  return `${from.padEnd(8)} ${text}`;
}

function machineText(event: MachineEvent): string {
  switch (event.type) {
    case 'boot':
      return BOOT_STEPS[event.step];
    case 'driver-warning':
      return `driver: ${event.text}`;
    case 'attack-begins':
      return `attack ${event.attack}: ${event.title}`;
    case 'attack-ends':
      return `attack ${event.result.name}: ${event.result.outcome}: ${event.result.reason}`;
  }
}

const rangeText = (range: VirtualRange): string =>
  `${hex(virtualAddressOf(range.start))}-${hex(virtualAddressOf(range.end))}`;

function kernelText(event: LinuxEvent): string {
  switch (event.type) {
    case 'boot-step':
      return event.step;
    case 'memory-through-vcpu':
      return 'runs on its own page tables: every access goes through the processor';
    case 'log':
      return event.text;
    case 'warning':
      return `WARNING: ${event.text}`;
    case 'attributes': {
      const bits = [...event.set.map((bit) => `+${bit}`), ...event.clear.map((bit) => `-${bit}`)];
      return `attributes ${rangeText(event.range)} ${bits.join(' ')}: ${event.changed} entries, ${event.changedAliases} aliases`;
    }
    case 'leaf-split':
      return `splits the ${event.level === 3 ? '1-GiB' : '2-MiB'} leaf at ${hex(virtualAddressOf(event.frame))}`;
    case 'mapped':
    case 'unmapped':
      return `${event.type} ${rangeText(event.range)}`;
    case 'heki-hook': {
      const what =
        event.range === undefined
          ? (event.frames?.map((frame) => `frame ${hex(frame)}`).join(', ') ?? `${event.leaves} leaves`)
          : rangeText(event.range);
      return `calls Heki, ${event.hook} ${what}: ${event.result}`;
    }
    case 'heki-early-init':
    case 'heki-late-init':
      return `${event.type.replaceAll('-', '_')}: ${event.result.outcome}`;
    case 'code-sealed':
      return event.result > 0
        ? `its code is sealed, as image ${event.result}`
        : `its code is not sealed: ${event.result}`;
    case 'pages-freed':
      return `frees ${event.what}`;
    case 'module':
      return `module ${event.name}: ${event.step}`;
    case 'processor': {
      const { number, online, failure } = event;
      if (failure === undefined) return `processor ${number} is ${online ? 'online' : 'offline'}`;
      const { phase, access, address, outcome } = failure;
      return `processor ${number} does not come up: in ${phase}, ${access} at ${hex(address)}: ${outcome.kind}`;
    }
    case 'text-poke':
      return `text_poke of ${event.bytes} bytes at ${hex(event.address)} ${event.alias === undefined ? 'by the secure kernel' : `through ${hex(event.alias)}`}`;
  }
}

function guestText(event: GuestEvent): string {
  switch (event.type) {
    case 'log':
      return event.text;
    case 'warning':
      return `WARNING: ${event.text}`;
    case 'mappings': {
      const { command, range, leaves, frames } = event;
      const where = range === undefined ? '' : ` in ${rangeText(range)}`;
      return `${COMMAND_NAMES.get(command)}: ${leaves} mappings of ${frames} pages${where}`;
    }
    case 'page-list': {
      const { list, pages, ranges, frames, result } = event;
      return `page list at ${hex(list)}: ${pages} list pages, ${ranges} ranges, ${frames} pages: ${result}`;
    }
    case 'range-dropped':
      return `no page for the list: frames ${hex(event.start)}-${hex(event.end)} are lost`;
    case 'list-leaked':
      return `${event.pages} list pages leaked`;
    case 'rolled-back':
      return `${COMMAND_NAMES.get(event.command)} rolled back: ${event.error}`;
    case 'walk-stopped':
      return `page tables have no end: the walk stopped at ${hex(virtualAddressOf(event.stoppedAt))} after ${event.tables} table pages`;
    case 'shared-tables': {
      const { places, mappings, tablesAtSeveralLevels } = event;
      const recursive =
        tablesAtSeveralLevels === 0 ? '' : `; ${tablesAtSeveralLevels} tables stand at more than one level`;
      return `tables that were met before stand at ${places} more places, with ${mappings} mappings${recursive}`;
    }
    case 'protected-elsewhere':
      return `${event.frames} pages that the direct map lacks are sent too`;
    case 'self-deadlock':
      return `${COMMAND_NAMES.get(event.command)} waits for the lock that its caller holds: deadlock`;
  }
}

function vcpuText(event: VcpuEvent): string {
  switch (event.type) {
    case 'access':
      return `${event.access} of ${event.bytes} ${event.bytes === 1 ? 'byte' : 'bytes'} at ${hex(event.va)}`;
    case 'instruction':
      return event.text;
    case 'no-memory':
      return `no memory for the ${event.access} at guest-physical ${hex(event.gpa)}`;
    case 'exit':
      return `exit: ${exitText(event.exit)}`;
    case 'entry':
      return `entry: ${actionText(event.action)}`;
    case 'exception':
      return `${exceptionText(event.exception)}${event.injected ? ', injected' : ''}`;
    case 'handled':
      return `handler: ${event.decision}`;
    case 'flush':
      return `TLB flush by ${event.cause}${event.va === undefined ? '' : ` of ${hex(event.va)}`}`;
    case 'livelock':
      return `livelock: ${event.cycle.length} turns repeat for ever`;
    case 'halted':
      return `halted: ${event.outcome.kind === 'stopped' ? event.outcome.why : event.outcome.kind}`;
  }
}

function exitText(exit: VmExit): string {
  switch (exit.reason) {
    case 'ept-violation':
      return `EPT violation at ${hex(exit.gpa)}, qualification ${hex(exit.qualification)}`;
    case 'ept-misconfiguration':
      return `EPT misconfiguration at ${hex(exit.gpa)}`;
    case 'nested-page-fault':
      return `nested page fault at ${hex(exit.gpa)}, info ${hex(exit.info1)}`;
    case 'mov-to-cr':
      return `mov ${hex(exit.value)} to cr${exit.cr}`;
    case 'rdmsr':
      return `rdmsr ${hex(exit.msr)}`;
    case 'wrmsr':
      return `wrmsr ${hex(exit.msr)}, ${hex(exit.value)}`;
    case 'descriptor-table':
      return `load of ${exit.register}, ${hex(exit.value)}`;
    default:
      return exit.reason;
  }
}

function actionText(action: ExitAction): string {
  switch (action.kind) {
    case 'inject':
      return `inject ${exceptionText(action.exception)}`;
    case 'stop':
      return `stop: ${action.why}`;
    case 'emulate':
      return 'carry the instruction out';
    default:
      return action.kind;
  }
}
