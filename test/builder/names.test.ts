import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { homeDirectory, unixName } from '../../src/builder/lab/home.ts';
import { placeOf } from '../../src/builder/lab/place.ts';
import type { LabKey } from '../../src/domain/lab/lab.ts';
import { buildObjectNames } from '../../src/domain/lab/object-names.ts';
import { buildGroup, buildPasswd, fileKey } from '../../src/builder/lab/user-files.ts';
import { aUser, configWithLab, exampleConfig } from './cases.ts';

const { lab } = await exampleConfig('minimal');
const DNS_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const LABEL_VALUE = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;

/** Names as people and attackers choose them: short ones of few letters, so that they meet often, and any text. */
const aName = fc.oneof(
  fc.string({ minLength: 1, maxLength: 8, unit: fc.constantFrom('a', 'b', 'A', '-', '_', '0', '@') }),
  fc.string({ minLength: 1, maxLength: 300, unit: 'binary' }),
  fc.array(fc.constantFrom('a', '--', '---', 'b'), { minLength: 1, maxLength: 6 }).map((parts) => parts.join('')),
);
const aKey = fc.record({ username: aName, servername: fc.oneof(fc.constant(''), aName) });

const place = ({ username, servername }: LabKey, namespacePrefix: string) =>
  placeOf({ ...lab, namespacePrefix }, 'labwright', { user: aUser({ username }), servername });

describe('the names of objects', () => {
  it('are DNS labels and label values, whatever the user is called', () => {
    fc.assert(
      fc.property(aKey, (key) => {
        const names = buildObjectNames(key, place(key, 'x'.repeat(22)));
        expect(names.namespace).toMatch(DNS_LABEL);
        expect(names.intent).toMatch(DNS_LABEL);
        expect(names.slug).toMatch(LABEL_VALUE);
      }),
    );
  });

  it('are never the same for two labs', () => {
    fc.assert(
      fc.property(aKey, aKey, (one, other) => {
        fc.pre(one.username !== other.username || one.servername !== other.servername);
        expect(place(one, 'lab').namespace).not.toBe(place(other, 'lab').namespace);
      }),
      { numRuns: 2000 },
    );
  });
});

const mountAt = (path: string) =>
  `volumes: [{ name: v, emptyDir: {} }]\nvolumeMounts: [{ name: v, mountPath: ${path} }]`;

describe('the name in passwd and in the path of the home directory', () => {
  it('is the name of the user where that can be', () => {
    expect(['rachel', 'Rachel', 'user@site', 'a.b-c_d', 'a--b'].map(unixName)).toEqual([
      'rachel',
      'Rachel',
      'user@site',
      'a.b-c_d',
      'a--b',
    ]);
  });

  it('is never the same for two users, nor leaves the directory of home directories', () => {
    fc.assert(
      fc.property(aName, aName, (one, other) => {
        expect(unixName(one)).toMatch(/^[A-Za-z0-9_][A-Za-z0-9._@+-]*$/);
        fc.pre(one !== other);
        expect(unixName(one)).not.toBe(unixName(other));
      }),
      { numRuns: 2000 },
    );
  });

  it('cannot be that of a user whose name is not plain', () => {
    const stolen = unixName('not plain');
    expect(unixName(stolen)).not.toBe(stolen);
  });

  it.each([
    ['home: { schema: username }', '/home/rachel'],
    ['home: { schema: initialThenUsername }', '/home/r/rachel'],
    ['home: { prefix: /u/, suffix: lab/x }', '/u/rachel/lab/x'],
    ['home: { schema: image, prefix: /home/jovyan }', '/home/jovyan'],
    ['home: { schema: image }', '/home/jovyan'],
    // Where a volume is mounted into the home directory of the images of the Jupyter project, that is the home directory.
    [`${mountAt('/home/jovyan/work')}`, '/home/jovyan'],
    [`${mountAt('/home/jovyan')}`, '/home/jovyan'],
    [`${mountAt('/home/jovyan2')}`, '/home/rachel'],
    [`home: { schema: username }\n${mountAt('/home/jovyan')}`, '/home/rachel'],
    [`home: { prefix: /u }\n${mountAt('/home/jovyan')}`, '/u/rachel'],
  ])('makes with %s the home directory %s', (settings, directory) => {
    expect(homeDirectory(configWithLab(settings).lab, { username: 'rachel' })).toBe(directory);
  });
});

describe('passwd and group', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('a:b', 'a\nroot:x:0:0::/:/bin/sh', '\r\n', '\u2028'),
  );
  const aHostileUser = fc.record({
    username: aName,
    name: fc.option(text),
    uid: fc.nat(),
    gid: fc.nat(),
    groups: fc.array(fc.record({ name: text, id: fc.nat() }), { maxLength: 5 }),
  });

  it('have one line for the user, of seven fields, whatever it is called', () => {
    fc.assert(
      fc.property(aHostileUser, (user) => {
        const lines = buildPasswd(lab, user).split('\n');
        expect(lines).toHaveLength(3);
        expect(lines[1]?.split(':')).toHaveLength(7);
        expect(lines[1]).toBe(lines[1]?.toWellFormed());
        expect(lines[2]).toBe('');
      }),
    );
  });

  it('have one line for each group, of four fields, whatever they are called', () => {
    fc.assert(
      fc.property(aHostileUser, (user) => {
        const lines = buildGroup(lab, user).trimEnd().split('\n');
        const unlisted = user.groups.some(({ id }) => id === user.gid) ? 0 : 1;
        expect(lines).toHaveLength(1 + unlisted + user.groups.length);
        for (const line of lines) expect(line.split(':')).toHaveLength(4);
        for (const line of lines) expect(line.split(':')[0]).not.toBe('');
      }),
    );
  });

  it('leave out a name that is not known', () => {
    expect(buildPasswd(lab, aUser({ name: null }))).toBe(
      'root:x:0:0:root:/root:/bin/bash\nrachel:x:1101:1101::/home/rachel:/bin/bash\n',
    );
  });

  it('name the primary group after the user where the groups do not', () => {
    const user = aUser({ groups: [{ name: 'staff', id: 7 }] });
    expect(buildGroup(lab, user)).toBe('root:x:0:\nrachel:x:1101:\nstaff:x:7:rachel\n');
  });

  it('begin as configured, on lines of their own', () => {
    const config = configWithLab('passwd: "daemon:x:1:1:daemon:/:/bin/false"\ngroup: "daemon:x:1:"').lab;
    expect(buildPasswd(config, aUser()).split('\n')[0]).toBe('daemon:x:1:1:daemon:/:/bin/false');
    expect(buildGroup(config, aUser()).split('\n')[0]).toBe('daemon:x:1:');
  });
});

describe('keys of files', () => {
  it('are keys of a ConfigMap, and never the same for two paths', () => {
    const path = fc.string({ minLength: 1, maxLength: 300, unit: 'binary' }).map((rest) => `/${rest}`);
    fc.assert(
      fc.property(path, path, (one, other) => {
        expect(fileKey(one)).toMatch(/^file-[A-Za-z0-9._-]{1,248}$/);
        fc.pre(one !== other);
        expect(fileKey(one)).not.toBe(fileKey(other));
      }),
    );
  });
});
