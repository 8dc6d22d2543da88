import type { Choice } from '@heki/inspector';
import { createMachine, describeTraceEvent, type MachineSpecification, machineSettings } from '@heki/machine';
import { regionAt } from '@heki/vmcore';
import { labBackend } from '../../../attack/lab-backend.ts';
import { hypervisorOf } from '../../../specification.ts';
import { initRefusal } from '../../../verdict/refusal.ts';
import type { KernelOfDump } from '../dump-session.ts';
import { type Life, lifeEvent } from './life.ts';
import { preFaultOf, type WatchedMachine } from './watched-machine.ts';

/** The kernel of a dump on a machine: Heki's core counts its mappings, and protects it, as `heki protect` has it do. */
export function snapshotLife(
  machine: Choice,
  specification: MachineSpecification,
  { subject, regions, symbolAt, resolve }: KernelOfDump,
): Life {
  const name = specification.hypervisor ?? 'kvm';
  return {
    machine,
    hypervisor: name,
    live(onEvent) {
      const backend = labBackend(name);
      const { processor, memoryMap, crashKernel, tables } = subject;
      const { profile, defects, spuriousFaults } = machineSettings(specification);
      const hypervisor = hypervisorOf(backend, specification, {}, processor.cpu);
      const made = createMachine({
        hypervisor,
        driver: (guest, options) => backend.driver?.(guest, options) ?? false,
        kernel: tables,
        memoryMap,
        crashKernel,
        registers: processor.registers,
        profile,
        defects,
        spuriousFaults,
      });
      const watched: WatchedMachine = {
        ...made,
        preFault: preFaultOf(made.virtualMachine),
        memoryMap,
        root: tables.root,
        levels: tables.levels,
        regionAt: (frame) => regionAt(regions, frame),
        symbolAt,
        resolve,
      };
      made.listen((event) => {
        if (event.from === 'vcpu' && event.event.type === 'access') return;
        onEvent(
          lifeEvent(event.from, describeTraceEvent(hypervisor, event), event.from === 'machine'),
          watched,
        );
      });
      const [early, late] = [made.earlyInit(), made.lateInit()];
      return initRefusal(early, late)?.message ?? 'the kernel is protected';
    },
  };
}
