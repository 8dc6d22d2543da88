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
import type { Gfn } from '@heki/physical-memory';
import {
  allowedPermissions,
  countMappings,
  type FramePicture,
  mappingCounts,
  takePicture,
} from './frame-picture.ts';

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

/** How closely to look. */
export interface Look {
  /** At frames only whose mappings or attributes are not what they were at the last look. */
  readonly changesOnly: boolean;
  /** By what the processor would do, not only by what KVM stores. */
  readonly effective: boolean;
}

/** What is asked after each step: per page, without any cleverness. */
export interface Invariants {
  /** The first violation of each property. */
  check(look: Look): Violation[];
  /**
   * The first page, if any, that may be written or executed although no mapping of this moment allows it. Whoever asks in the middle of
   * a change names the frames that text_poke has open.
   */
  excess(open: ReadonlySet<Gfn>): Excess | undefined;
  /** KVM reported damage to its host. */
  incident(text: string): void;
}

/** A page that may be written or executed although no mapping allows it. */
export interface Excess {
  readonly frame: Gfn;
  /** It may be written, and not executed. */
  readonly writableOnly: boolean;
  readonly text: string;
}

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
  const { memoryMap, virtualMachine, heki } = machine;
  const frames = memoryMap.ramEnd;
  const isRam = Uint8Array.from({ length: frames }, (_, frame) => (memoryMap.isRam(frame as Gfn) ? 1 : 0));
  let last = takePicture(machine, frames);
  const before = last.stored;
  let incident: string | undefined;
  return {
    incident: (text) => {
      incident ??= text;
    },
    excess(open) {
      const { stored, mappings } = takePicture(machine, frames);
      for (let frame = 0; frame < frames; frame++) {
        const more = storedPermissions(stored[frame] ?? 0) & ~allowedPermissions(mappings[frame] ?? 0) & BOTH;
        if (more === 0 || isRam[frame] === 0 || open.has(frame as Gfn)) continue;
        return {
          frame: frame as Gfn,
          writableOnly: more === MEM_ATTR_WRITE,
          text: `frame 0x${frame.toString(16)}: ${permissionText(more)} without a mapping that allows it`,
        };
      }
      return undefined;
    },
    check({ changesOnly, effective }) {
      const found = new Map<Property, string>();
      const violated = (property: Property, text: string): void => {
        if (!found.has(property)) found.set(property, text);
      };
      if (incident !== undefined) violated('P4', incident);
      const picture = takePicture(machine, frames);
      const { stored, mappings } = picture;
      const counted = directMapCounted ? mappings : countMappings(machine, frames, false);
      for (let frame = 0; frame < frames; frame++) {
        const changed =
          stored[frame] !== last.stored[frame] || mappings[frame] !== last.mappings[frame] || !changesOnly;
        if (changed && isRam[frame] === 1) checkFrame(frame, picture, counted, effective, violated);
      }
      last = picture;
      return [...found]
        .map(([property, text]) => ({ property, text }))
        .sort((a, b) => (a.property < b.property ? -1 : 1));
    },
  };

  function checkFrame(
    frame: number,
    { stored, mappings }: FramePicture,
    counted: Uint32Array,
    effective: boolean,
    violated: (property: Property, text: string) => void,
  ): void {
    const was = before[frame] ?? 0;
    const now = stored[frame] ?? 0;
    const at = `frame 0x${frame.toString(16)}`;
    if ((was & HEKI_ATTRIBUTE_IMMUTABLE) !== 0 && was !== now) {
      violated('P3', `${at}: 0x${was.toString(16)} became 0x${now.toString(16)}`);
    }
    const allowed = allowedPermissions(mappings[frame] ?? 0);
    const granted = effective ? effectivePermissions(virtualMachine, frame as Gfn) : storedPermissions(now);
    if ((granted & BOTH) === BOTH && (allowed & BOTH) !== BOTH) {
      violated('P1', `${at}: granted ${permissionText(granted)}, mappings allow ${permissionText(allowed)}`);
    }
    const wanted = heki.permissions(frame as Gfn) & 7;
    if (granted !== wanted) {
      violated('P2', `${at}: granted ${permissionText(granted)}, counters say ${permissionText(wanted)}`);
    }
    const counters = heki.counters(frame as Gfn);
    // Pages that only the direct map maps have no counters where it is not counted.
    if (counters === undefined && !directMapCounted) return;
    const { read, write, execute } = counters ?? { read: 0, write: 0, execute: 0 };
    const [reads, writes, executes] = mappingCounts(counted[frame] ?? 0);
    if (read !== reads || write !== writes || execute !== executes) {
      violated('P5', `${at}: counters ${read} ${write} ${execute}, mappings ${reads} ${writes} ${executes}`);
    }
  }
}

const storedPermissions = (attributes: number): number =>
  attributes === 0 ? MEM_ATTR_READ | MEM_ATTR_WRITE : permissionsOfAttributes(attributes) & 7;

function effectivePermissions(virtualMachine: KvmVirtualMachine, frame: Gfn): number {
  const rights = virtualMachine.effectiveRights(frame);
  if (rights === undefined) return 0;
  return (
    (rights.read ? MEM_ATTR_READ : 0) |
    (rights.write ? MEM_ATTR_WRITE : 0) |
    (rights.supervisorExecute ? MEM_ATTR_EXEC : 0)
  );
}
