import { ATTACK_MACHINES, CATALOGUE, countCells, runMatrix } from '@heki/attacks';
import { createKvm } from '@heki/kvm';
import { initHekiOnKvm } from '@heki/paravirt';

const attacks = CATALOGUE.filter(({ name }) =>
  ['store-text-after-pte-edit', 'ask-for-execution'].includes(name),
);
const machines = ATTACK_MACHINES.filter(({ name }) => name === 'hardened');
const matrix = runMatrix({
  attacks,
  machines,
  findBackend: () => ({ create: createKvm, driver: initHekiOnKvm }),
});
for (const { attack, cells } of matrix.rows) {
  for (const [machine, { verdict, evidence }] of cells) {
    console.log(`${attack.name} on ${machine}: ${verdict}`);
    console.log(`  ${evidence}`);
  }
}
const { claimed } = countCells(matrix);
console.log(`claimed: ${claimed.stopped} stopped, ${claimed.red} red`);
