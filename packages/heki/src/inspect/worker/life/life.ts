import type { Choice } from '@heki/inspector';
import type { WatchedMachine } from './watched-machine.ts';

/** Something that happens in a life. */
export interface LifeEvent {
  /** Who reports it: `kernel`, `core` (of Heki in the guest), `vcpu0`, the hypervisor's name. */
  readonly lane: string;
  readonly text: string;
  /** A step begins: of boot, or of a scenario. */
  readonly isStep: boolean;
}

/** What happens to a kernel on a machine, from its beginning to its end. Nothing in it is random: each time it goes as it went before. */
export interface Life {
  readonly machine: Choice;
  /** The name of its hypervisor. */
  readonly hypervisor: string;
  /** Lives it; how it ended. What `onEvent` throws comes out. */
  live(onEvent: (event: LifeEvent, machine: WatchedMachine) => void): string;
}

/** A line of a trace, `kvm    protect memory ...`, as an event. @param from who reports, as the trace has it */
export function lifeEvent(from: string, line: string, isStep: boolean): LifeEvent {
  const at = line.indexOf(' ');
  return { lane: from === 'guest' ? 'core' : line.slice(0, at), text: line.slice(at).trim(), isStep };
}
