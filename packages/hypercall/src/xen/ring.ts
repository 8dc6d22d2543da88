import { VM_EVENT_SIZE } from './vm-event.ts';

/**
 * The shared page of a vm_event ring (xen/include/public/io/ring.h): `req_prod` (byte 0), `req_event` (4), `rsp_prod` (8) and
 * `rsp_event` (12), then slots from byte 64 on. Producer indexes run freely modulo 2^32; a reply takes the slot of
 * the oldest request without one. Xen is the front end and the monitor the back end; each trusts only what it wrote itself.
 */
export const VM_EVENT_RING_SLOTS = 8;
const SLOTS = 64;

/** One end of a ring. */
export interface VmEventRingEnd {
  /** Puts a message: a request from the front, a reply from the back. `false` when there is no room, or nothing to reply to. */
  put(bytes: Uint8Array): boolean;
  /**
   * Takes the next message of the other end, `undefined` when there is none. `broken` when the other end's index claims
   * more messages than there can be: nothing is read then.
   */
  take(): Uint8Array | 'broken' | undefined;
  /** Requests that can still be put (front), or replies that are owed (back). */
  readonly room: number;
  /** What brings back this end as it is now; the page is its owner's to bring back. */
  checkpoint(): () => void;
}

/** The end that sends requests. @param page the 1,024 words of the shared page */
export function vmEventRingFront(page: Uint32Array): VmEventRingEnd {
  // Private copies: the other domain can write anything over the shared ones.
  let requests = 0;
  let replies = 0;
  const end: VmEventRingEnd = {
    get room() {
      return VM_EVENT_RING_SLOTS - distance(requests, replies);
    },
    checkpoint() {
      const kept = [requests, replies] as const;
      return () => {
        [requests, replies] = kept;
      };
    },
    put(bytes) {
      if (end.room <= 0) return false;
      writeSlot(page, requests, bytes);
      requests = (requests + 1) >>> 0;
      page[0] = requests;
      return true;
    },
    take() {
      const available = distance(page[2] ?? 0, replies);
      if (available === 0) return undefined;
      if (available > distance(requests, replies)) return 'broken';
      const bytes = readSlot(page, replies);
      replies = (replies + 1) >>> 0;
      return bytes;
    },
  };
  return end;
}

/** The end that answers. @param page the 1,024 words of the shared page */
export function vmEventRingBack(page: Uint32Array): VmEventRingEnd {
  let requests = 0;
  let replies = 0;
  const end: VmEventRingEnd = {
    get room() {
      return distance(requests, replies);
    },
    checkpoint() {
      const kept = [requests, replies] as const;
      return () => {
        [requests, replies] = kept;
      };
    },
    put(bytes) {
      if (end.room <= 0) return false;
      writeSlot(page, replies, bytes);
      replies = (replies + 1) >>> 0;
      page[2] = replies;
      return true;
    },
    take() {
      const available = distance(page[0] ?? 0, requests);
      if (available === 0) return undefined;
      if (available > VM_EVENT_RING_SLOTS - distance(requests, replies)) return 'broken';
      const bytes = readSlot(page, requests);
      requests = (requests + 1) >>> 0;
      return bytes;
    },
  };
  return end;
}

function distance(ahead: number, behind: number): number {
  return (ahead - behind) >>> 0;
}

function slotWord(index: number): number {
  return (SLOTS + (index % VM_EVENT_RING_SLOTS) * VM_EVENT_SIZE) / 4;
}

function writeSlot(page: Uint32Array, index: number, bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const first = slotWord(index);
  for (let word = 0; word < VM_EVENT_SIZE / 4; word++) {
    page[first + word] = 4 * word + 4 <= bytes.length ? view.getUint32(4 * word, true) : 0;
  }
}

/** A copy, so that what is judged is what was read once. */
function readSlot(page: Uint32Array, index: number): Uint8Array {
  const bytes = new Uint8Array(VM_EVENT_SIZE);
  const view = new DataView(bytes.buffer);
  const first = slotWord(index);
  for (let word = 0; word < VM_EVENT_SIZE / 4; word++)
    view.setUint32(4 * word, page[first + word] ?? 0, true);
  return bytes;
}
