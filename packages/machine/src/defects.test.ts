import { guestDefects } from '@heki/guest';
import { kvmDefects } from '@heki/kvm';
import { linuxDefects } from '@heki/linux';
import { paravirtDefects } from '@heki/paravirt';
import type { Defects } from '@heki/series';
import { expect, test } from 'vitest';
import { machineDefects } from './defects.ts';

test('an id stands for one defect: what two layers list under it is one and the same', () => {
  const lists: readonly Defects[] = [guestDefects, linuxDefects, paravirtDefects, kvmDefects];
  const known = new Map<string, unknown>();
  for (const [id, defect] of lists.flatMap((list) => Object.entries(list))) {
    expect(known.get(id) ?? defect, id).toBe(defect);
    known.set(id, defect);
  }
});

test('a defect with parts in several layers is listed by each of them that a machine has', () => {
  const owners: Readonly<Record<string, Defects>> = {
    guest: guestDefects,
    linux: linuxDefects,
    paravirt: paravirtDefects,
  };
  for (const [id, defect] of Object.entries<Defects[string]>(machineDefects)) {
    if (!('parts' in defect)) continue;
    for (const owner of Object.keys(defect.parts)) {
      const list = owners[owner];
      if (list !== undefined) expect(list[id], `${id} in ${owner}`).toBe(defect);
    }
  }
});
