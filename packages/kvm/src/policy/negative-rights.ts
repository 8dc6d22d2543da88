import {
  KVM_MEMORY_ATTRIBUTE_NR,
  KVM_MEMORY_ATTRIBUTE_NUX,
  KVM_MEMORY_ATTRIBUTE_NW,
  KVM_MEMORY_ATTRIBUTE_NX,
} from '@heki/hypercall/kvm';
import type { Rights } from '@heki/hypervisor';

const NR = KVM_MEMORY_ATTRIBUTE_NR;
const NW = KVM_MEMORY_ATTRIBUTE_NW;
const NX = KVM_MEMORY_ATTRIBUTE_NX;
const NUX = KVM_MEMORY_ATTRIBUTE_NUX;

/** All attributes that take rights away. */
export const NEGATIVE_ATTRIBUTES: number = NR | NW | NX | NUX;
/** What a frame without attributes has. */
export const FULL_ACCESS: Rights = { read: true, write: true, supervisorExecute: true, userExecute: true };

/** Rights by attribute value. */
const RIGHTS: readonly Rights[] = Array.from({ length: NEGATIVE_ATTRIBUTES + 1 }, (_, bits) =>
  rightsOfAttributes(bits),
);

/** The rights that are left, from a table. */
export function rightsLeft(attributes: number): Rights {
  return RIGHTS[attributes] ?? rightsOfAttributes(NEGATIVE_ATTRIBUTES);
}

/** Whether attributes go together: writing and executing need reading, and a processor without a split has one right to execute. */
export function isLegal(attributes: number, splits: boolean): boolean {
  if ((attributes & NR) !== 0 && attributes !== NEGATIVE_ATTRIBUTES) return false;
  return splits || ((attributes & NX) === 0) === ((attributes & NUX) === 0);
}

/** The rights that are left. */
export function rightsOfAttributes(attributes: number): Rights {
  return {
    read: (attributes & NR) === 0,
    write: (attributes & NW) === 0,
    supervisorExecute: (attributes & NX) === 0,
    userExecute: (attributes & NUX) === 0,
  };
}

/** The attributes that leave `rights`. */
export function attributesOfRights(rights: Rights): number {
  return (
    (rights.read ? 0 : NR) |
    (rights.write ? 0 : NW) |
    (rights.supervisorExecute ? 0 : NX) |
    (rights.userExecute ? 0 : NUX)
  );
}
