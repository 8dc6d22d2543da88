import type { BackendEvent, Hypervisor, ProtectionState, VirtualMachine } from '@heki/hypervisor';
import {
  createLinuxMachine,
  createSigningAuthority,
  describeTraceEvent,
  type HekiDriver,
  type HypervisorSettings,
  hypervisorSettings,
  type LinkedModule,
  type LinuxMachine,
  type MachineSpecification,
  machineMemory,
  pcMemoryMap,
  type TraceEvent,
} from '@heki/machine';
import { createCodeSigner } from '@heki/machine/code-signer';
import type { GuestRegion } from '../attacker/vmm.ts';
import { CHECK, KERNEL_FUNCTIONS, KEY_SITE, withdrawnModule } from '../kernel/functions.ts';
import { LAB_KERNEL } from '../kernel/lab-kernel.ts';
import { loadImage } from '../kernel/places.ts';
import { KERNEL_TEXT, SIGNED_SITES } from '../kernel/signed-sites.ts';

/** The smallest memory that has room for the kernel, two modules and a pack of eBPF programs. */
const MEMORY = 32 * 2 ** 20;

/** A backend and the driver for it, of the name that a specification has for it. */
export interface LabBackend {
  readonly create: (settings: HypervisorSettings) => Hypervisor<VirtualMachine, BackendEvent>;
  readonly driver: HekiDriver | undefined;
}

/** Gives the backend of a name: who calls knows them. */
export type FindBackend = (name: string) => LabBackend;

/** A machine whose kernel has booted, and what its VMM knows. */
export interface BootedMachine {
  readonly machine: LinuxMachine;
  /** What would have harmed the host, as its hypervisor reports it. */
  readonly incidents: readonly string[];
  readonly regions: readonly GuestRegion[];
  /** What was enforced before boot. */
  readonly before: ProtectionState | undefined;
  /** The signed file of a module, where an owner of code wants files. */
  readonly moduleFile: ((image: LinkedModule) => Uint8Array) | undefined;
}

/** A driver with a part taken out. It gets the machine's memory, to change page lists in it. */
export type DriverChange = (driver: HekiDriver, machine: () => Pick<LinuxMachine, 'memory'>) => HekiDriver;

/** Is told each event of the machine, those of its processors included; `describe` says it in words. */
export type OnMachineEvent = (event: TraceEvent, describe: () => string) => void;

/** A boot that did not come to its end: no machine to attack. */
export class BootFailed extends Error {}

/**
 * Boots the kernel that is attacked, on a machine of a specification.
 *
 * @param change takes a part out of the driver
 * @param onEvent looks on
 * @throws {BootFailed}
 */
export function bootMachine(
  specification: MachineSpecification,
  findBackend: FindBackend,
  change: DriverChange = (driver) => driver,
  onEvent?: OnMachineEvent,
): BootedMachine {
  const { hypervisor: name = 'kvm' } = specification;
  const backend = findBackend(name);
  const authority = createSigningAuthority();
  const codeSigner =
    specification.authenticate === true
      ? createCodeSigner(LAB_KERNEL, {
          contents: {
            sites: SIGNED_SITES,
            fill(text) {
              for (const { offset, bytes } of KERNEL_TEXT) text.set(bytes, offset);
            },
            functions: { [CHECK]: KERNEL_FUNCTIONS.check.offset },
          },
          withdrawn: [withdrawnModule()],
        })
      : undefined;
  const memoryMap = pcMemoryMap(MEMORY);
  const incidents: string[] = [];
  const { driver } = backend;
  const hypervisor = backend.create(
    hypervisorSettings(specification, authority.signed, undefined, codeSigner?.code),
  );
  const machine: LinuxMachine = createLinuxMachine({
    ...specification,
    hypervisor,
    driver: driver === undefined ? undefined : change(driver, () => machine),
    kernel: LAB_KERNEL,
    memoryMap,
    vcpus: 2,
    pluggable: 1,
    jumpLabels: [KEY_SITE],
    presentSignature: authority.sign,
    codeSigner,
    attackable: true,
    interleaved: true,
    processorEvents: onEvent !== undefined,
    onEvent(reported) {
      const { from, event } = reported;
      onEvent?.(reported, () => describeTraceEvent(hypervisor, reported));
      if (from === 'hypervisor' && event.type.startsWith('host-') && 'text' in event)
        incidents.push(String(event.text));
    },
  });
  loadImage(machine);
  const before = machine.virtualMachine.save();
  const boot = machine.kernel.boot();
  if (boot.kind !== 'done') throw new BootFailed(`the kernel does not boot: ${boot.kind}`);
  return {
    machine,
    incidents,
    regions: machineMemory(memoryMap),
    before,
    moduleFile: codeSigner?.file,
  };
}
