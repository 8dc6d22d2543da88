import type { FindingKind } from '../finding.ts';
import type { FrameExtent } from '../frame-extents.ts';
import { Rights } from '../rights.ts';
import { exchangedFrames } from './foreign-frames.ts';

export const MODULE_REMAPPED: FindingKind = {
  id: 'heki/module-remapped',
  title: 'A page of a module is something else, too',
  worst: 'high',
  explanation:
    'Linux gives each page of a module, and of the code that it makes beside them, a frame of its own. Here two of their addresses lead to one frame, or one leads to what is code, constants, variables, a page table, or is mapped in another region as well; or data of a module lies outside the direct map.',
  attack:
    "An address of a module's is led to a page whose contents the attacker knows or writes: its data, the operations and pointers in it, are exchanged, or its code for that of another module, without a change to any permission.",
  legitimate:
    "Nothing. Where permissions alone tell the image's constants, what was freed behind them is not told from them, and modules are given it: medium.",
  advice:
    'Treat the guest as compromised. Look at both addresses (heki read), and at what vmalloc says of them (/proc/vmallocinfo).',
  *find(kernel) {
    yield* exchangedFrames(kernel, 'modules', { isDoubled, isAnywhere: isCode });
  },
};

function isDoubled({ mappings }: FrameExtent): boolean {
  return mappings.filter(({ region }) => region === 'modules').length > 1;
}

/** Code that the direct map lacks is a finding of its own; the rest of a large page of it can be what is not used yet. */
function isCode({ mappings }: FrameExtent): boolean {
  return mappings.some(
    ({ region, rights, level }) => region === 'modules' && (level > 1 || (rights & Rights.EXECUTE) !== 0),
  );
}
