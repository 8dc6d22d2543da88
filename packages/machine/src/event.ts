import type { GuestEvent } from '@heki/guest';
import type { BackendEvent } from '@heki/hypervisor';
import type { LinuxEvent } from '@heki/linux';
import type { VcpuEvent } from '@heki/vcpu';
import type { AttackResult } from './attacks/attack-result.ts';

/** What the machine itself reports. */
export type MachineEvent =
  | {
      /** A step of the kernel's boot begins. */
      readonly type: 'boot';
      readonly step: 'init-platform' | 'early-init' | 'late-init';
    }
  | {
      /** The guest-side driver complains. */
      readonly type: 'driver-warning';
      readonly text: string;
    }
  | { readonly type: 'attack-begins'; readonly attack: string; readonly title: string }
  | { readonly type: 'attack-ends'; readonly result: AttackResult };

/** One event of a machine's trace, with the part of it that it comes from. All parts report into one, in order. */
export type TraceEvent<Event extends BackendEvent = BackendEvent> =
  | { readonly from: 'machine'; readonly event: MachineEvent }
  | { readonly from: 'kernel'; readonly event: LinuxEvent }
  | { readonly from: 'guest'; readonly event: GuestEvent }
  | { readonly from: 'vcpu'; readonly event: VcpuEvent }
  | { readonly from: 'hypervisor'; readonly event: Event };
