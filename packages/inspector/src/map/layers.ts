import type { Run } from '../memory/bounded-runs.ts';
import type { GrantRun } from '../memory/memory-data.ts';
import type { MemoryModel } from '../memory/memory-model.ts';
import { classOfRights, PAGE_CLASSES } from '../memory/page-class.ts';
import type { ColouredRun, MapLayer } from './map-layer.ts';
import { ownerLayer } from './owners.ts';

/** Whether something is so for a page: what is no RAM, other RAM, and where it is. */
const isSo = (title: string, others: string): MapLayer['classes'] => [
  PAGE_CLASSES[0],
  { name: 'unmapped', title: others },
  { name: 'marked', title },
];
const CHANGED = isSo('its rights have changed', 'as it was');
const IMMUTABLE = isSo('no request changes its rights any more', 'other RAM');
const UNSENT = isSo('nothing is asked for it', 'rights are asked for it');
const MARKED = 2;

/**
 * The ways in which the map of `memory` can be coloured.
 *
 * @param hypervisors names of those that `memory.grants` are of
 * @param changed frames whose rights are not what they were at another moment; `undefined` where there is none
 */
export function mapLayers(
  memory: MemoryModel,
  hypervisors: readonly string[],
  changed?: readonly Run[],
): [byRights: MapLayer, ...others: MapLayer[]] {
  return [
    { id: 'rights', title: 'what all mappings allow', classes: PAGE_CLASSES, runs: memory.runs },
    ownerLayer(memory),
    ...memory.grants.map((grants, index) => ({
      id: `granted-${index}`,
      title: `what ${hypervisors[index] ?? 'the hypervisor'} grants`,
      classes: PAGE_CLASSES,
      runs: grants.map(colouredGrant),
    })),
    ...memory.grants.flatMap((grants, index) => {
      const runs = grants.filter(({ immutable }) => immutable).map(marked);
      const title = `what is immutable under ${hypervisors[index] ?? 'the hypervisor'}`;
      return runs.length === 0 ? [] : [{ id: `immutable-${index}`, title, classes: IMMUTABLE, runs }];
    }),
    ...(memory.unsent === undefined
      ? []
      : [
          {
            id: 'unsent',
            title: `what nothing is asked of ${hypervisors[0] ?? 'the hypervisor'} for`,
            classes: UNSENT,
            runs: memory.unsent.map(marked),
          },
        ]),
    ...(changed === undefined
      ? []
      : [{ id: 'changed', title: 'what has changed', classes: CHANGED, runs: changed.map(marked) }]),
  ];
}

const marked = ({ start, end }: Run): ColouredRun => ({ start, end, pageClass: MARKED });

function colouredGrant({ start, end, rights }: GrantRun): ColouredRun {
  return { start, end, pageClass: rights[0] === 'r' ? classOfRights(rights) : 1 };
}
