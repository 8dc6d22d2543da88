import { joinSpecifications, type MachineSpecification, machineSettings, processorName } from '@heki/machine';
import {
  runWorkload,
  WORKLOAD_SETTINGS,
  WORKLOADS,
  type Workload,
  type WorkloadOutcome,
  type WorkloadSetting,
} from '@heki/scenario';
import { ExitCode, UsageError } from '../failure.ts';
import { findBackend } from '../find-backend.ts';
import { HYPERVISORS } from '../hypervisors.ts';
import type { CommandIo } from '../io.ts';
import { createProgress } from '../progress.ts';
import { count } from '../quantity.ts';
import { writeReport } from '../report/write-report.ts';
import { type Finding, makesFail } from '../verdict/finding.ts';
import { createBootMachine } from './boot-machine.ts';
import { loadCodeSigner } from './code-signer.ts';
import { readKernelBuild } from './kernel-file.ts';
import { type WorkloadRow, workloadText } from './workload-text.ts';

/** What was asked for. */
interface WorkloadRequest {
  /** Of the work, or `all`. */
  readonly name: string;
  readonly asked: MachineSpecification;
  readonly json: boolean;
  readonly strict: boolean;
}

/** Work of this kind fits, and a kernel of this size boots fastest. */
const MEMORY = '128MiB';

/**
 * `heki boot --workload`: runs legitimate work over the settings that were asked for. The exit code: 1 when something breaks.
 *
 * @throws {UsageError} for unknown work, or work that needs more processors than were asked for
 */
export async function runWorkloads(
  { name, asked, json, strict }: WorkloadRequest,
  io: CommandIo,
): Promise<number> {
  const chosen = workloadsNamed(name, asked);
  const settings = settingsFor(asked);
  const kernel = asked.kernel === undefined ? undefined : await readKernelBuild(asked.kernel);
  const progress = createProgress(io, { what: 'working', total: chosen.length * settings.length });
  let done = 0;
  const backends = await Promise.all(settings.map(({ machine }) => findBackend(machine.hypervisor)));
  const codeSigners = await Promise.all(settings.map(({ machine }) => loadCodeSigner(machine)));
  const rows: WorkloadRow[] = chosen.map((workload) => ({
    workload,
    outcomes: settings.map((setting, index) => {
      const outcome = runWorkload(workload, setting, (scenario) =>
        createBootMachine(scenario, backends[index] ?? HYPERVISORS.kvm, {
          kernel,
          codeSigner: codeSigners[index],
        }),
      );
      progress.update(++done);
      return outcome;
    }),
  }));
  progress.stop();
  await writeReport(
    'workloads',
    { json: () => workloadJson(settings, rows), text: (screen) => workloadText(settings, rows, screen) },
    { json },
    io,
  );
  const fails = rows.some(({ workload, outcomes }) =>
    outcomes.some((outcome, index) => {
      const { profile } = machineSettings(settings[index]?.machine ?? {});
      return workloadFindings(workload, outcome).some((finding) => makesFail(finding, { profile, strict }));
    }),
  );
  return fails ? ExitCode.FAILURE : ExitCode.SUCCESS;
}

function workloadFindings({ name }: Workload, { verdict, beyondMappings }: WorkloadOutcome): Finding[] {
  return [
    ...(verdict === 'breaks'
      ? [{ id: 'unexpected', message: `the kernel does not survive ${name}` } satisfies Finding]
      : []),
    ...(beyondMappings > 0
      ? [
          {
            id: 'rights-beyond-mappings',
            message: `${count(beyondMappings, 'page')} are granted more than any mapping allows`,
          } satisfies Finding,
        ]
      : []),
  ];
}

function workloadsNamed(name: string, { vcpus }: MachineSpecification): readonly Workload[] {
  const chosen = name === 'all' ? WORKLOADS : WORKLOADS.filter((workload) => workload.name === name);
  if (chosen.length === 0) {
    throw new UsageError(
      `--workload ${name}: expected all or ${WORKLOADS.map((one) => one.name).join(', ')}`,
    );
  }
  for (const { name: one, machine } of chosen) {
    const needed = machine.vcpus ?? 1;
    if (vcpus !== undefined && vcpus < needed)
      throw new UsageError(`--vcpus ${vcpus}: expected at least ${needed}, which the work ${one} needs`);
  }
  return chosen;
}

/** No Heki beside the hypervisor that was asked for; without such a wish both profiles on KVM. */
function settingsFor(asked: MachineSpecification): readonly WorkloadSetting[] {
  const { hypervisor, secureKernel, profile, defects = {}, mbec, hlat, authenticate, cpu } = asked;
  const wished = [hypervisor, secureKernel, profile, mbec, hlat, authenticate].some(
    (wish) => wish !== undefined,
  );
  const ofHeki = Object.entries(defects).map(([id, on]) => (on ? id : `no ${id}`));
  const unprotected = WORKLOAD_SETTINGS.filter(({ machine }) => machine.hypervisor === 'none').map(
    ({ name, machine }) => ({ name, machine: { ...without(asked), ...machine } }),
  );
  const name = [
    hypervisor ?? 'kvm',
    secureKernel ?? [],
    profile ?? 'hardened',
    ...ofHeki,
    mbec === false ? 'no MBEC' : [],
    hlat === true ? 'HLAT' : [],
    authenticate === true ? 'code authenticated' : [],
    cpu === undefined ? [] : processorName(cpu),
  ];
  const chosen = wished || ofHeki.length > 0;
  const protectedOnes = !chosen
    ? WORKLOAD_SETTINGS.filter(({ machine }) => machine.hypervisor !== 'none')
    : hypervisor === 'none'
      ? []
      : [{ name: name.flat().join(', '), machine: {} }];
  return [
    ...unprotected,
    ...protectedOnes.map((setting) => ({ ...setting, machine: joinSpecifications(asked, setting.machine) })),
  ].map((setting) => ({ ...setting, machine: joinSpecifications({ memory: MEMORY }, setting.machine) }));
}

/** The machine without what only a hypervisor with Heki has. */
function without({
  defects: _,
  secureKernel: __,
  hlat: ___,
  authenticate: ____,
  ...rest
}: MachineSpecification): MachineSpecification {
  return rest;
}

function workloadJson(settings: readonly WorkloadSetting[], rows: readonly WorkloadRow[]): object {
  const workloads = rows.map(({ workload, outcomes }) => ({
    workload: workload.name,
    outcomes: Object.fromEntries(settings.map((setting, index) => [setting.name, outcomes[index]])),
    warnings: settings.flatMap(({ name }, index) => {
      const outcome = outcomes[index];
      return outcome === undefined
        ? []
        : workloadFindings(workload, outcome).map(({ id, message }) => ({
            id,
            message: `${name}: ${message}`,
          }));
    }),
  }));
  return { workloads };
}
