import {
  HEKI_ATTRIBUTE_IMMUTABLE,
  MEM_ATTR_EXEC,
  MEM_ATTR_READ,
  MEM_ATTR_WRITE,
  permissionsOfAttributes,
  permissionText,
} from '@heki/hypercall/kvm';
import type { KvmVirtualMachine } from '@heki/kvm';
import type { LinuxMachine } from '@heki/machine';
import { type Gfn, VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import { EntryHigh, EntryLow, upperHalfStart, walkMappings } from '@heki/x86';

/** Names of the properties that a protected kernel should have at every moment. */
export type Property =
  /** No page is writable and executable for the kernel unless its mappings are, together. */
  | 'P1'
  /** The second level grants what the counters say. */
  | 'P2'
  /** What is stored for an immutable frame never changes. */
  | 'P3'
  /** Whatever the guest sends, the host comes to no harm. */
  | 'P4'
  /** The counters count the mappings that there are. */
  | 'P5';

/** A property that does not hold, and where. */
export interface Violation {
  readonly property: Property;
  readonly text: string;
}

/** What is asked after each step: per page, without any cleverness. */
export interface Invariants {
  /** The first violation of each property. With `effective`, by what the processor would do, not only by what KVM stores. */
  check(effective: boolean): Violation[];
  /**
   * The first page, if any, that may be written or executed although no mapping of this moment allows it. Whoever asks in the middle of
   * a change names the frames that text_poke has open.
   */
  excess(open: ReadonlySet<Gfn>): string | undefined;
  /** KVM reported damage to its host. */
  incident(text: string): void;
}

/** Of a frame without mappings: data of whoever maps it first. */
const UNMAPPED = MEM_ATTR_READ | MEM_ATTR_WRITE;
const BOTH = MEM_ATTR_WRITE | MEM_ATTR_EXEC;

/**
 * The properties of a machine that has booted.
 *
 * @param directMapCounted the counters take in the direct map, as they do without B-G5
 */
export function createInvariants(
  machine: LinuxMachine<KvmVirtualMachine>,
  directMapCounted: boolean,
): Invariants {
  const { memoryMap, virtualMachine } = machine;
  const frames = memoryMap.ramEnd;
  const before = storedAttributes(machine, frames);
  let incident: string | undefined;
  return {
    incident: (text) => {
      incident ??= text;
    },
    excess(open) {
      const mappings = countMappings(machine, frames, true);
      const stored = storedAttributes(machine, frames);
      for (let frame = 0; frame < frames; frame++) {
        const more = storedPermissions(stored[frame] ?? 0) & ~allowedPermissions(mappings, frame) & BOTH;
        if (more === 0 || open.has(frame as Gfn) || !memoryMap.isRam(frame as Gfn)) continue;
        return `frame 0x${frame.toString(16)}: ${permissionText(more)} without a mapping that allows it`;
      }
      return undefined;
    },
    check(effective) {
      const found = new Map<Property, string>();
      const violated = (property: Property, text: () => string): void => {
        if (!found.has(property)) found.set(property, text());
      };
      if (incident !== undefined) violated('P4', () => incident ?? '');
      const stored = storedAttributes(machine, frames);
      const mappings = countMappings(machine, frames, true);
      const counted = directMapCounted ? mappings : countMappings(machine, frames, false);
      for (let frame = 0; frame < frames; frame++) {
        if (!memoryMap.isRam(frame as Gfn)) continue;
        const was = before[frame] ?? 0;
        const now = stored[frame] ?? 0;
        const at = (): string => `frame 0x${frame.toString(16)}`;
        if ((was & HEKI_ATTRIBUTE_IMMUTABLE) !== 0 && was !== now) {
          violated('P3', () => `${at()}: 0x${was.toString(16)} became 0x${now.toString(16)}`);
        }
        const allowed = allowedPermissions(mappings, frame);
        const granted = effective
          ? effectivePermissions(virtualMachine, frame as Gfn)
          : storedPermissions(now);
        if ((granted & BOTH) === BOTH && (allowed & BOTH) !== BOTH) {
          violated(
            'P1',
            () => `${at()}: granted ${permissionText(granted)}, mappings allow ${permissionText(allowed)}`,
          );
        }
        const wanted = machine.heki.permissions(frame as Gfn) & 7;
        if (granted !== wanted) {
          violated(
            'P2',
            () => `${at()}: granted ${permissionText(granted)}, counters say ${permissionText(wanted)}`,
          );
        }
        const counters = machine.heki.counters(frame as Gfn);
        // Pages that only the direct map maps have no counters where it is not counted.
        if (counters === undefined && !directMapCounted) continue;
        const inCounters = [counters?.read ?? 0, counters?.write ?? 0, counters?.execute ?? 0];
        const there = [...counted.subarray(3 * frame, 3 * frame + 3)];
        if (inCounters.some((count, index) => count !== there[index])) {
          violated('P5', () => `${at()}: counters ${inCounters.join(' ')}, mappings ${there.join(' ')}`);
        }
      }
      return [...found]
        .map(([property, text]) => ({ property, text }))
        .sort((a, b) => (a.property < b.property ? -1 : 1));
    },
  };
}

/** What all mappings of a frame allow together. */
function allowedPermissions(mappings: Uint16Array, frame: number): number {
  const [read = 0, write = 0, execute = 0] = mappings.subarray(3 * frame, 3 * frame + 3);
  if (read + write + execute === 0) return UNMAPPED;
  return (
    (read > 0 ? MEM_ATTR_READ : 0) | (write > 0 ? MEM_ATTR_WRITE : 0) | (execute > 0 ? MEM_ATTR_EXEC : 0)
  );
}

const storedPermissions = (attributes: number): number =>
  attributes === 0 ? UNMAPPED : permissionsOfAttributes(attributes) & 7;

function storedAttributes({ virtualMachine }: LinuxMachine<KvmVirtualMachine>, frames: number): Uint8Array {
  const stored = new Uint8Array(frames);
  virtualMachine.attributes.forEach(0, frames, (start, end, value) => void stored.fill(value, start, end));
  return stored;
}

/** For every frame how many mappings of the kernel half, with the direct map or without, read, write and execute it. */
function countMappings(
  { memory, kernel, heki }: LinuxMachine,
  frames: number,
  withDirectMap: boolean,
): Uint16Array {
  const counts = new Uint16Array(3 * frames);
  const { levels } = kernel.layout;
  walkMappings(
    { memory, root: kernel.pageTableRoot, levels },
    upperHalfStart(levels),
    VIRTUAL_FRAME_END as VirtualFrame,
    ({ virtualFrame, guestFrame, frames: pages, low, high }) => {
      const { start, end } = heki.directMap;
      if (!withDirectMap && virtualFrame >= start && virtualFrame < end) return;
      const write = (low & EntryLow.RW) === 0 ? 0 : 1;
      const execute = (high & EntryHigh.XD) === 0 ? 1 : 0;
      for (let at = 3 * guestFrame; at < 3 * Math.min(guestFrame + pages, frames); at += 3) {
        counts[at] = (counts[at] ?? 0) + 1;
        counts[at + 1] = (counts[at + 1] ?? 0) + write;
        counts[at + 2] = (counts[at + 2] ?? 0) + execute;
      }
    },
  );
  return counts;
}

function effectivePermissions(virtualMachine: KvmVirtualMachine, frame: Gfn): number {
  const rights = virtualMachine.effectiveRights(frame);
  if (rights === undefined) return 0;
  return (
    (rights.read ? MEM_ATTR_READ : 0) |
    (rights.write ? MEM_ATTR_WRITE : 0) |
    (rights.supervisorExecute ? MEM_ATTR_EXEC : 0)
  );
}
