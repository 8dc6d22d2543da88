import {
  createMachine,
  createSigningAuthority,
  type HekiDriver,
  hypervisorSettings,
  type Machine,
  type MachineSpecification,
} from '@heki/machine';
import { type Gfn, PAGE_WORDS, type PhysicalMemory } from '@heki/physical-memory';
import { NotExpressible } from '../attack/not-expressible.ts';
import type { SnapshotKernel } from '../kernel/snapshot-kernel.ts';
import { placeLabCode, type SnapshotPlaces, snapshotPlaces } from '../kernel/snapshot-places.ts';
import type { DriverChange, FindBackend } from './boot-machine.ts';

/** A machine around a snapshot, on which Heki has done its work. */
export interface SnapshotMachine {
  readonly snapshot: SnapshotKernel;
  readonly machine: Machine;
  readonly places: SnapshotPlaces;
  readonly incidents: readonly string[];
}

/**
 * Puts the functions that are attacked where the snapshot's kernel has its text, as a boot loader might have, and lets Heki protect it.
 *
 * @throws {NotExpressible} for what no snapshot can have: another command line, an owner of its code
 */
export function bootSnapshot(
  specification: MachineSpecification,
  findBackend: FindBackend,
  snapshot: SnapshotKernel,
  change: DriverChange = (driver) => driver,
): SnapshotMachine {
  const { hypervisor: name = 'kvm', commandLine } = specification;
  if (commandLine !== undefined && commandLine !== 'heki=0')
    throw new NotExpressible(`the kernel of a snapshot was booted already: not with ${commandLine}`);
  if (specification.authenticate === true)
    throw new NotExpressible('an owner of code goes by signed files, which no snapshot holds');
  const backend = findBackend(name);
  const { driver } = backend;
  const made: { machine?: Machine } = {};
  const without: HekiDriver = () => false;
  const changed: HekiDriver =
    driver === undefined
      ? without
      : change(driver, () => {
          if (made.machine === undefined) throw new TypeError('there is no machine yet');
          return made.machine;
        });
  const incidents: string[] = [];
  const places = snapshotPlaces(snapshot);
  const machine = createMachine({
    ...specification,
    hypervisor: backend.create(hypervisorSettings(specification, createSigningAuthority().signed)),
    driver: changed,
    heki: commandLine !== 'heki=0',
    kernel: snapshot.kernel,
    contents: withBlankPages(snapshot.contents ?? snapshot.kernel.memory, places.frames),
    memoryMap: snapshot.memoryMap,
    registers: snapshot.registers,
    ...(snapshot.crashKernel === undefined ? {} : { crashKernel: snapshot.crashKernel }),
    onEvent({ from, event }) {
      if (from === 'hypervisor' && event.type.startsWith('host-') && 'text' in event)
        incidents.push(String(event.text));
    },
  });
  made.machine = machine;
  placeLabCode(machine.memory, places);
  if (driver !== undefined) {
    machine.earlyInit();
    machine.lateInit();
  }
  return { snapshot, machine, places, incidents };
}

/** Memory in which pages of which only the place is known read zero, where something of the attacks lies. */
function withBlankPages(memory: PhysicalMemory<Gfn>, frames: ReadonlySet<Gfn>): PhysicalMemory<Gfn> {
  const blank = new Uint32Array(PAGE_WORDS);
  return {
    page: (frame) => memory.page(frame) ?? (frames.has(frame) ? blank : undefined),
    writablePage: (frame) => memory.writablePage(frame),
  };
}
