// The attributes that KVM keeps for every frame of a guest, and the question that loses a revocation (B-H1).
import {
  HEKI_ATTRIBUTE_EXEC,
  HEKI_ATTRIBUTE_IMMUTABLE,
  HEKI_ATTRIBUTE_MASK,
  HEKI_ATTRIBUTE_READ,
  HEKI_ATTRIBUTE_WRITE,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  permissionsOfAttributes,
  permissionText,
} from '@heki/hypercall/kvm';
import { createAttributeStore, createKvm } from '@heki/kvm';
import { createFrameAllocator, createRam, gfn, type Pfn, pfn } from '@heki/physical-memory';

const [R, W, X] = [HEKI_ATTRIBUTE_READ, HEKI_ATTRIBUTE_WRITE, HEKI_ATTRIBUTE_EXEC];
const [HEKI, PRIVATE, IMMUTABLE] = [
  HEKI_ATTRIBUTE_MASK,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  HEKI_ATTRIBUTE_IMMUTABLE,
];
const hex = (frame: number): string => `0x${frame.toString(16)}`;

const store = createAttributeStore();
const show = (title: string): void => {
  console.log(`${title} (extents: ${store.extents})`);
  store.forEach(0, 0x1000, (start, end, value) => {
    const more = (value & PRIVATE ? ' private' : '') + (value & IMMUTABLE ? ' immutable' : '');
    const rights = value & HEKI ? permissionText(permissionsOfAttributes(value)) : 'no rights set';
    console.log(`  ${hex(start)}-${hex(end)} ${rights}${more}`);
  });
};

store.update(0, 0x1000, R | W, HEKI);
show('all frames rw-: one extent');
store.update(0x200, 0x400, R | X | IMMUTABLE, HEKI);
store.update(0x300, 0x600, PRIVATE, PRIVATE);
show('text is r-x for ever; PRIVATE is set with a mask of its own and leaves the rights alone');
console.log(`all readable: ${store.all(0, 0x1000, R)}, all writable: ${store.all(0, 0x1000, W)}`);
console.log(
  `some immutable: ${store.any(0, 0x1000, IMMUTABLE)}, in 0x400-0x1000: ${store.any(0x400, 0x1000, IMMUTABLE)}`,
);

// KVM skips a request that has nothing to do. The published code asks the first question, the mended one the second.
console.log(`0x800-0x900 are rw-. At least r--? ${store.all(0x800, 0x900, R)}`);
console.log(`                     Exactly r--? ${store.equal(0x800, 0x900, R, HEKI)}`);
for (const profile of ['rfc-v2', 'hardened'] as const) {
  const memory = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x2000) }] });
  const frames = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x100) }] });
  const vm = createKvm({ profile }).createVirtualMachine({ host: { memory, frames } });
  vm.addMemory({ start: gfn(0), frames: 0x1000, backing: pfn(0x1000) });
  const ask = (write: boolean): void => {
    const rights = { read: true, write, supervisorExecute: false, userExecute: true };
    vm.protect([{ start: gfn(0x800), end: gfn(0x900), rights }]);
  };
  ask(true);
  ask(false);
  const rights = permissionText(permissionsOfAttributes(vm.attributes.get(gfn(0x800))));
  console.log(`${profile}: rw- was asked for and then r--: the frames are ${rights}`);
}
