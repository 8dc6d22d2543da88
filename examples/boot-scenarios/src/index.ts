// Lives of a kernel, one for each file in scenarios/: what becomes of each step, and what the hypervisor grants in the end.
import { readdirSync, readFileSync } from 'node:fs';
import { createKvm } from '@heki/kvm';
import { createLinuxMachine, pcMemoryMap } from '@heki/machine';
import { initHekiOnKvm } from '@heki/paravirt';
import { composeScenario, memoryBytes, parseScenario, runScenario } from '@heki/scenario';

const folder = new URL('../scenarios/', import.meta.url);
const load = (source: string) => ({
  source,
  scenario: parseScenario(JSON.parse(readFileSync(new URL(source, folder), 'utf8')), source),
});

for (const file of readdirSync(folder).sort()) {
  const { scenario } = load(file);
  const { machine, initcalls, steps } = composeScenario(scenario, file, load);
  const { profile = 'hardened', mbec = true, hypervisor } = machine;
  const { memory = '512MiB', vcpus = 1, levels = 4, commandLine = '', kaslrSeed } = machine;
  const result = runScenario(
    createLinuxMachine({
      hypervisor: createKvm({ profile, mbec }),
      driver: hypervisor === 'none' ? undefined : initHekiOnKvm,
      memoryMap: pcMemoryMap(memoryBytes(memory)),
      attackable: true,
      ...{ profile, vcpus, levels, commandLine },
      ...(kaslrSeed === undefined ? {} : { kaslrSeed }),
    }),
    steps,
    { initcalls },
  );
  console.log(`${file}: ${scenario.title}: ${result.expected ? 'as expected' : 'NOT as expected'}`);
  for (const { step, verdict, reason } of result.steps) {
    if (reason !== undefined) console.log(`  ${step.do}: ${verdict}: ${reason}`);
  }
  const pages = result.classes.reduce((sum, one) => sum + one.writableAndExecutable, 0);
  console.log(`  pages that are writable and executable, though no mappings are: ${pages}`);
}
