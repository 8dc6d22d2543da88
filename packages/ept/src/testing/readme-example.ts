import {
  createEpt,
  createEptEditor,
  describeQualification,
  EptLow,
  encodeEptp,
  eptLeaf,
  eptRightsChange,
} from '@heki/ept';
import { createFrameAllocator, createRam, gfn, type Pfn, pfn } from '@heki/physical-memory';
import { REFUSED, SecondLevelAccess } from '@heki/second-level';

const { R, W, X, XU } = EptLow;
const tables = [{ start: pfn(0x100), end: pfn(0x200) }];
const memory = createRam<Pfn>({ ranges: tables });
const editor = createEptEditor({ memory, frames: createFrameAllocator({ ranges: tables }) });

// Four gigabytes of guest memory in large leaves; then 2 MiB of kernel text become read-only and executable.
editor.map(gfn(0), gfn(0x100000), pfn(0x400000), eptLeaf({ rights: R | W | X | XU }));
const { flush } = editor.update(gfn(0x1000), gfn(0x1200), eptRightsChange(R | X | XU));
console.log(`flush frames ${flush?.start} to ${flush?.end}; ${editor.tables} table pages`);

const ept = createEpt({
  memory,
  eptp: encodeEptp({
    root: editor.root,
  }),
  controls: { modeBasedExecute: true },
});
const store = SecondLevelAccess.WRITE | SecondLevelAccess.LINEAR_VALID;
if (ept.translate(gfn(0x1003), 0x18, store) === REFUSED && ept.fault?.kind === 'ept-violation') {
  console.log(describeQualification(ept.fault.qualification));
}
console.log(ept.explain(gfn(0x1003), 0x18, store).reason);
