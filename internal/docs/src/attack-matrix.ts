import { createKvm, kvmDefects } from '@heki/kvm';
import { defectFault, machineDefects } from '@heki/machine';
import { createScenarioMachine, runScenario, type Step, type StepResult } from '@heki/scenario';
import { markdownTable, type Page } from './page.ts';

export const attackMatrixPage: Page = {
  file: 'docs/attack-matrix.md',
  parts: { matrix, unchanged },
};

/** What a kernel has done before it is attacked: code came, was patched, and went. */
const BEFORE: readonly Step[] = [
  { do: 'load-module', name: 'm', staticCalls: 4 },
  { do: 'load-bpf', name: 'p' },
  { do: 'vmalloc', name: 'a', pages: 2 },
  { do: 'trace', on: 'm' },
];

type AttackStep = Step & { readonly do: 'attack' };

/** Switching Heki off comes last: no attack after it would say anything. */
const ATTACKS: readonly AttackStep[] = [
  { do: 'attack', how: 'store-text' },
  { do: 'attack', how: 'store-text', on: 'm' },
  { do: 'attack', how: 'store-text-direct-map', on: 'm' },
  { do: 'attack', how: 'store-text-after-pte-edit' },
  { do: 'attack', how: 'store-text-after-pte-edit', on: 'm' },
  { do: 'attack', how: 'store-text-after-pte-edit', on: 'p' },
  { do: 'attack', how: 'execute-data', on: 'm' },
  { do: 'attack', how: 'execute-data', on: 'a' },
  { do: 'attack', how: 'clear-smep' },
  { do: 'attack', how: 'switch-heki-off' },
];

/** A hardened machine with one defect or none, what its kernel does, and the attacks on it. */
function scenarioOf(defect: string | undefined) {
  const machine = { memory: '64MiB', defects: defect === undefined ? {} : { [defect]: true } };
  return { machine, steps: [...BEFORE, ...ATTACKS] };
}

/** The inspector with the life of such a machine, event by event. */
function lifeOf(defect: string | undefined): string {
  return `[its life](inspector.md#time?scenario=${encodeURIComponent(JSON.stringify(scenarioOf(defect)))})`;
}

/** What becomes of the attacks on a hardened machine with one defect, or with none. */
function attacked(defect: string | undefined): readonly string[] {
  const scenario = scenarioOf(defect);
  const { boot, steps } = runScenario(createScenarioMachine(scenario, { hypervisor: createKvm }), scenario);
  return ATTACKS.map((_, index) => cell(boot === 'works' ? steps[BEFORE.length + index] : undefined));
}

const cell = (result: StepResult | undefined): string =>
  result === undefined ? 'the kernel is dead' : result.verdict === 'works' ? '**works**' : result.verdict;

interface Row {
  readonly id: string;
  readonly cells: readonly string[];
  readonly differs: boolean;
}

let made: readonly Row[] | undefined;

/** Every defect that a machine on KVM can have. */
function rows(): readonly Row[] {
  if (made !== undefined) return made;
  const mended = attacked(undefined).join();
  const ids = [...Object.keys(kvmDefects), ...Object.keys(machineDefects)].filter(
    (id) => defectFault({ [id]: true }, createKvm({ defects: { [id]: true } })) === undefined,
  );
  made = ids.map((id) => {
    const cells = attacked(id);
    return { id, cells, differs: cells.join() !== mended };
  });
  return made;
}

const link = (id: string): string => `[${id}](defects.md#${id.toLowerCase()})`;

function matrix(): string {
  const header = ATTACKS.map(({ how, on = 'kernel' }) =>
    how === 'clear-smep' || how === 'switch-heki-off' ? how : `${how} ${on}`,
  );
  return markdownTable(
    ['defect', 'in the inspector', ...header],
    [
      ['none', lifeOf(undefined), ...attacked(undefined)],
      ...rows()
        .filter(({ differs }) => differs)
        .map(({ id, cells }) => [link(id), lifeOf(id), ...cells]),
    ],
  );
}

function unchanged(): string {
  return rows()
    .filter(({ differs }) => !differs)
    .map(({ id }) => link(id))
    .join(', ');
}
