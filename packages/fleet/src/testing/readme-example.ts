import { workItemId } from '@heki/fleet';

const item = {
  source: { uri: '/dumps/guest.elf.gz', fingerprint: '0b1f' },
  command: 'audit',
  options: { redact: true },
  hekiVersion: '1.0.0',
} as const;
console.log(workItemId(item));
