import { describe, expect, it } from 'vitest';
import { B_G8, B_G22, defectSwitches } from './index.ts';

describe('the switches of a layer', () => {
  const defects = { 'B-G8': B_G8, 'B-G22': B_G22 };

  it('are all on in the published series, and off when it is hardened', () => {
    expect(defectSwitches(defects, 'rfc-v2')).toEqual({ 'B-G8': true, 'B-G22': true });
    expect(defectSwitches(defects, 'hardened')).toEqual({ 'B-G8': false, 'B-G22': false });
  });

  it('differ from the profile where a choice is made, in both directions', () => {
    expect(defectSwitches(defects, 'rfc-v2', { 'B-G8': false })).toEqual({ 'B-G8': false, 'B-G22': true });
    expect(defectSwitches(defects, 'hardened', { 'B-G22': true })).toEqual({ 'B-G8': false, 'B-G22': true });
  });

  it('are none of a profile that there is not', () => {
    for (const unknown of ['rfc-v3', '', undefined, 'toString']) {
      expect(() => defectSwitches(defects, unknown as never)).toThrow('expected one of hardened, rfc-v2');
    }
  });

  it('leave out what other layers choose, so that all can be given the same choices', () => {
    const choices = { 'B-G8': true, 'B-H1': true };
    expect(defectSwitches(defects, 'hardened', choices)).toEqual({ 'B-G8': true, 'B-G22': false });
  });
});
