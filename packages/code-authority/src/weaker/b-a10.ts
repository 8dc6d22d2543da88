import type { Defect } from '@heki/series';

export const B_A10: Defect = {
  title: 'A module goes though another one leads into it',
  happens: 'What is loaded at its address next is called in its place.',
  why: 'LVBS unloads a module for whoever asks (unload_guest_module); whether it is in use only VTL0 counts.',
  mend: 'Who refers to whom follows from signed files and the states of sites, and a module that is referred to stays.',
};
