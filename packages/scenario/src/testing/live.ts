import { createKvm, type KvmDefectId } from '@heki/kvm';
import { DEBIAN_6_1, type KernelBuild, SMALL_KERNEL } from '@heki/linux';
import { createLinuxMachine, type MachineDefectId, pcMemoryMap } from '@heki/machine';
import type { DefectChoices, Profile } from '@heki/series';
import { beginLife } from '../life.ts';
import { runSteps } from '../run-scenario.ts';
import type { Step } from '../schema/step-schema.ts';
import { sendHostileList } from './hostile-list.ts';
import { createInvariants, type Look, type Property, type Violation } from './invariants.ts';
import { type Choice, stepOf } from './random-life.ts';

/** Processors of every machine. */
export const PROCESSORS = 3;

/** Defects that are there alone, of the guest's half and of KVM. */
export type Defects = DefectChoices<MachineDefectId | KvmDefectId>;

/** How a life is lived and looked at. */
export interface Setting {
  readonly profile: Profile;
  /** Single defects beside those of the profile. */
  readonly defects?: Defects;
  readonly kernel: KernelBuild;
  readonly mebibytes: number;
  /** At everything after each step; otherwise at what has changed, and at everything in the end. */
  readonly everything: boolean;
}

/** A cheap life. */
export const SMALL: Setting = { profile: 'hardened', kernel: SMALL_KERNEL, mebibytes: 32, everything: false };
/** A life that is looked at closely. */
export const CLOSELY: Setting = { ...SMALL, everything: true };
/** The same in a kernel of usual size. */
export const DEBIAN: Setting = { ...CLOSELY, kernel: DEBIAN_6_1, mebibytes: 64 };

/** What happened in a life: the steps that were taken, and the first violation of each property. */
export interface Lived {
  readonly steps: readonly (Step | { readonly do: 'hostile-list' })[];
  readonly violations: readonly Violation[];
}

/** Lives `choices`, with a look after each step and a closer one in the end. */
export function live(choices: readonly Choice[], setting: Setting): Lived {
  const { profile, defects = {} } = setting;
  const incidents: string[] = [];
  const machine = createLinuxMachine({
    hypervisor: createKvm({ profile, defects }),
    defects,
    memoryMap: pcMemoryMap(setting.mebibytes * 2 ** 20),
    kernel: setting.kernel,
    profile,
    vcpus: PROCESSORS,
    pluggable: 1,
    onEvent(event) {
      if (event.from === 'hypervisor' && event.event.type.startsWith('host-'))
        incidents.push(event.event.type);
    },
  });
  const boot = machine.kernel.boot();
  if (boot.kind !== 'done')
    throw new Error(`boot: ${JSON.stringify(boot, (_, v) => (typeof v === 'bigint' ? String(v) : v))}`);
  const life = beginLife(machine);
  const invariants = createInvariants(machine, profile === 'hardened');
  const steps: Lived['steps'][number][] = [];
  const violations = new Map<Property, Violation>();
  const look = (how: Look): void => {
    for (const text of incidents.splice(0)) invariants.incident(text);
    for (const violation of invariants.check(how)) {
      if (!violations.has(violation.property)) violations.set(violation.property, violation);
    }
  };
  for (const [serial, choice] of choices.entries()) {
    const { kernel } = machine;
    const cpu = kernel.onlineCpus[choice.cpu % kernel.onlineCpus.length] ?? 0;
    let survived = true;
    if (choice.kind === 'hostile-list') {
      steps.push({ do: 'hostile-list' });
      kernel.onCpu(cpu, () => sendHostileList(machine, choice));
    } else {
      const step = stepOf(life, choice, serial);
      // A processor takes itself down on no other processor than the first.
      const where = step?.do === 'cpu-down' || step?.do === 'cpu-up' || step?.do === 'suspend' ? 0 : cpu;
      if (step === undefined) continue;
      steps.push(step);
      const outcome = kernel.onCpu(where, () => runSteps(life, [step]));
      survived = outcome.kind === 'done' && outcome.value[0]?.verdict !== 'oops';
    }
    if (!survived) break;
    // What the published series leaves behind, it leaves for good: a look in the end finds it.
    if (profile === 'hardened') look({ changesOnly: !setting.everything, effective: false });
  }
  look({ changesOnly: false, effective: true });
  return { steps, violations: [...violations.values()] };
}
