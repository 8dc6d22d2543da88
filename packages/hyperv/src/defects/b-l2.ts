import type { Defect } from '@heki/series';

export const B_L2: Defect = {
  title: 'A patch outlives the page that it writes to',
  happens:
    'A site whose first byte is in text and whose others are in init text stays known when the init text is freed: its patch writes to the page of the next owner.',
  why: 'mshv_vsm_free_guest_module_init removes no patches; at unload they are looked up by where they begin.',
  mend: 'When pages are released every patch goes that has a byte in them.',
};
