import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/config/index.ts';
import { configWithLab } from '../builder/cases.ts';

function refusal(lab: string): string {
  try {
    configWithLab(lab);
    return '';
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

describe('lab.token', () => {
  it('hands on the token of the caller when nothing is said', () => {
    expect(configWithLab('').lab.token).toEqual({ source: 'caller', lifetime: 3_600_000 });
  });

  it.each(['5m', '30d', '90m'])('takes a lifetime of %s', (lifetime) => {
    expect(refusal(`token: { source: signed, lifetime: ${lifetime} }`)).toBe('');
  });

  it.each(['4m', '299s', '31d', '0s'])('takes no lifetime of %s', (lifetime) => {
    expect(refusal(`token: { lifetime: ${lifetime} }`)).toContain('expected a duration from 5m to 30d');
  });

  it('takes no empty audience and no other source', () => {
    expect(refusal('token: { audience: [] }')).toContain('lab.token.audience');
    expect(refusal('token: { source: hub }')).toContain('lab.token.source');
  });

  it('needs its directory for itself where the token is signed', () => {
    const other =
      'volumes: [{ name: v, emptyDir: {} }]\nvolumeMounts: [{ name: v, mountPath: /var/run/secrets/labwright }]';
    expect(refusal(other)).toBe('');
    expect(refusal(`token: { source: signed }\n${other}`)).toContain('/var/run/secrets/labwright is already taken');
  });
});
