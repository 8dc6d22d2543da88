import { describeCapabilities } from '@heki/hypervisor';
import { type EventCount, WORKLOADS } from '@heki/scenario';
import Table from 'cli-table3';
import { measureBackend, workOn } from '../backends/backend-cost.ts';
import { coloursFor } from '../colours.ts';
import { ExitCode } from '../failure.ts';
import { HYPERVISOR_NAMES, HYPERVISORS } from '../hypervisors.ts';
import type { CommandIo } from '../io.ts';
import { createProgress } from '../progress.ts';

/** What is counted, as rows name it. */
const COSTS: { readonly [what in keyof EventCount]: string } = {
  calls: 'calls',
  exits: 'exits',
  flushes: 'flushes',
  asked: 'owner asked',
};

/** `heki backends`. */
export async function backends(options: { readonly json?: boolean }, io: CommandIo): Promise<number> {
  const names = HYPERVISOR_NAMES.filter((name) => HYPERVISORS[name].driver !== undefined);
  const progress = createProgress(io, { what: 'comparing', total: names.length * (1 + WORKLOADS.length) });
  let done = 0;
  const onProgress = (): void => progress.update(++done);
  const all = names.map((name) => {
    const { title, unjudged, create } = HYPERVISORS[name];
    const { capabilities } = create({ profile: 'hardened', mbec: true });
    return {
      name,
      title,
      unjudged,
      capabilities: describeCapabilities(capabilities),
      cost: measureBackend(name, onProgress),
      work: workOn(name, onProgress),
    };
  });
  progress.stop();
  if (options.json === true) {
    const result = all.map(({ capabilities, work, ...rest }) => ({
      ...rest,
      work: Object.fromEntries(work),
      capabilities: Object.fromEntries(capabilities.map(({ name, value }) => [name, value])),
    }));
    await io.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
    return ExitCode.SUCCESS;
  }
  const { bold, dim } = coloursFor(io.stdout, io.env);
  const table = new Table({
    head: ['', ...all.map(({ name }) => name)].map((head) => bold(head)),
    style: { head: [], border: [], compact: true },
    wordWrap: true,
    colWidths: [30, ...all.map(() => 28)],
  });
  const rows = all[0]?.capabilities.map(({ name }) => name) ?? [];
  for (const [row, name] of rows.entries()) {
    table.push([name, ...all.map(({ capabilities }) => capabilities[row]?.value ?? '')]);
  }
  const cost = (of: 'boot' | 'moduleLoad', what: keyof EventCount): string[] =>
    all.map((one) => String(one.cost[of][what]));
  for (const what of ['calls', 'exits', 'flushes', 'asked'] as const)
    table.push([`a boot: ${COSTS[what]}`, ...cost('boot', what)]);
  for (const what of ['calls', 'exits', 'flushes', 'asked'] as const) {
    table.push([`a module load: ${COSTS[what]}`, ...cost('moduleLoad', what)]);
  }
  for (const { name } of WORKLOADS) {
    table.push([`work: ${name}`, ...all.map(({ work }) => work.get(name) ?? '')]);
  }
  table.push([
    'judged by an outside implementation',
    ...all.map(({ unjudged }) => (unjudged ? 'unjudged' : 'in part')),
  ]);
  const titles = all.map(({ name, title }) => dim(`${name}: ${title}`));
  await io.stdout.write(`${table.toString()}\n${titles.join('\n')}\n`);
  return ExitCode.SUCCESS;
}
