import {
  decodeVmEvent,
  encodeVmEvent,
  VM_EVENT_REGISTERS,
  VM_EVENT_RING_SLOTS,
  type VmEvent,
  type VmEventDetail,
  VmEventFlag,
  type VmEventRegisters,
  vmEventRingFront,
} from '@heki/hypercall/xen';
import type { StateDigest } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { XenEvent } from '../event.ts';
import type { XenStatistics } from '../statistics.ts';

/** Xen's end of the ring, with the virtual CPUs that wait behind it. */
export interface EventChannel {
  /** The page that is shared with the monitor's domain. */
  readonly page: Uint32Array;
  /**
   * Sends a request for a virtual CPU that waits for the reply, or looks for the reply to the one that was sent
   * before. `undefined` while there is none, for want of room in the ring or because the monitor has not run.
   */
  ask(vcpu: Vcpu, view: number, detail: VmEventDetail): VmEvent | undefined;
  /** Sends a notice for which no virtual CPU is paused; lost when the ring is full. */
  tell(vcpu: Vcpu, view: number, detail: VmEventDetail): void;
  /** No virtual CPU waits, and the ring is empty. */
  readonly idle: boolean;
  /** A virtual CPU starts anew: nothing is owed to it. */
  forget(vcpu: Vcpu): void;
  /** What brings back Xen's end and the page as they are now. */
  checkpoint(): () => void;
  /** Tells `digest` what is on its way. Where in the ring the next event goes is left out. */
  digest(digest: StateDigest): void;
}

export function createEventChannel(options: {
  /** Lets the monitor run, if it runs at once. */
  readonly kick: () => void;
  readonly statistics: XenStatistics;
  readonly emit: ((event: XenEvent) => void) | undefined;
}): EventChannel {
  const { kick, statistics, emit } = options;
  const page = new Uint32Array(1024);
  const front = vmEventRingFront(page);
  /** By virtual CPU: `undefined` until the reply is there. */
  const waiting = new Map<number, VmEvent | undefined>();

  function collect(): void {
    for (let bytes = front.take(); bytes !== undefined; bytes = front.take()) {
      const reply = bytes === 'broken' ? undefined : decodeVmEvent(bytes);
      if (reply?.ok === true && waiting.has(reply.message.vcpu)) {
        emit?.({ type: 'vm-event-reply', event: reply.message });
        waiting.set(reply.message.vcpu, reply.message);
      } else if (reply?.ok !== true || (reply.message.flags & VmEventFlag.VCPU_PAUSED) !== 0) {
        statistics.badReplies++;
      }
      if (bytes === 'broken') return;
    }
  }

  function send(vcpu: Vcpu, view: number, detail: VmEventDetail, flags: number): boolean {
    const event: VmEvent = { flags, vcpu: vcpu.id, view, detail, registers: registersOf(vcpu) };
    if (!front.put(encodeVmEvent(event))) return false;
    statistics.events++;
    emit?.({ type: 'vm-event', event });
    return true;
  }

  return {
    page,
    ask(vcpu, view, detail) {
      if (!waiting.has(vcpu.id)) {
        collect();
        if (!send(vcpu, view, detail, VmEventFlag.VCPU_PAUSED)) {
          statistics.pauses++;
          emit?.({ type: 'paused', vcpu: vcpu.id, because: 'ring-full' });
          return undefined;
        }
        waiting.set(vcpu.id, undefined);
        kick();
      }
      collect();
      const reply = waiting.get(vcpu.id);
      if (reply === undefined) {
        statistics.pauses++;
        emit?.({ type: 'paused', vcpu: vcpu.id, because: 'no-reply' });
        return undefined;
      }
      waiting.delete(vcpu.id);
      return reply;
    },
    tell(vcpu, view, detail) {
      collect();
      if (send(vcpu, view, detail, 0)) kick();
    },
    get idle() {
      collect();
      return waiting.size === 0 && front.room === VM_EVENT_RING_SLOTS;
    },
    forget: (vcpu) => {
      waiting.delete(vcpu.id);
    },
    checkpoint() {
      const kept = { page: page.slice(), waiting: [...waiting], front: front.checkpoint() };
      return () => {
        page.set(kept.page);
        waiting.clear();
        for (const [vcpu, reply] of kept.waiting) waiting.set(vcpu, reply);
        kept.front();
      };
    },
    digest(digest) {
      if (waiting.size === 0 && front.room === VM_EVENT_RING_SLOTS) return;
      digest.words(page);
      for (const [vcpu, reply] of [...waiting].sort(([a], [b]) => a - b)) {
        digest.word(vcpu);
        for (const byte of reply === undefined ? [] : encodeVmEvent(reply)) digest.word(byte);
      }
    },
  };
}

function registersOf(vcpu: Vcpu): VmEventRegisters {
  const { registers } = vcpu;
  return Object.fromEntries(
    VM_EVENT_REGISTERS.map((name) => [name, name === 'dr6' || name === 'dr7' ? 0n : registers[name]]),
  ) as VmEventRegisters;
}
