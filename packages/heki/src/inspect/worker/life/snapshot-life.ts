import type { Choice } from '@heki/inspector';
import { createMachine, describeTraceEvent, type MachineSpecification } from '@heki/machine';
import { regionAt } from '@heki/vmcore';
import { labBackend } from '../../../attack/lab-backend.ts';
import { machineOfSubject } from '../../../protect/machine-of-subject.ts';
import { initRefusal } from '../../../verdict/refusal.ts';
import type { KernelOfDump } from '../dump-session.ts';
import { type Life, lifeEvent } from './life.ts';
import { preFaultOf, type WatchedMachine } from './watched-machine.ts';

/** The kernel of a dump on a machine: Heki's core counts its mappings, and protects it, as `heki protect` has it do. */
export function snapshotLife(
  machine: Choice,
  specification: MachineSpecification,
  { subject, regions, bpf, symbolAt, resolve }: KernelOfDump,
): Life {
  const name = specification.hypervisor ?? 'kvm';
  return {
    machine,
    hypervisor: name,
    live(onEvent) {
      const { memoryMap, crashKernel, tables } = subject;
      const options = machineOfSubject(labBackend(name), specification, subject);
      const made = createMachine({ ...options, kernel: tables });
      const watched: WatchedMachine = {
        ...made,
        vcpus: [made.vcpu],
        preFault: preFaultOf(made.virtualMachine),
        ...{ memoryMap, crashKernel, bpf },
        root: tables.root,
        levels: tables.levels,
        regionAt: (frame) => regionAt(regions, frame),
        symbolAt,
        resolve,
      };
      made.listen((event) => {
        if (event.from === 'vcpu' && event.event.type === 'access') return;
        onEvent(
          lifeEvent(event.from, describeTraceEvent(options.hypervisor, event), event.from === 'machine'),
          watched,
        );
      });
      const [early, late] = [made.earlyInit(), made.lateInit()];
      return initRefusal(early, late)?.message ?? 'the kernel is protected';
    },
  };
}
