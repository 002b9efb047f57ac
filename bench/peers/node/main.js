// The tenant read of Insula as a Node service would do it: fastify, fast-jwt, pg with one simple query per request.
import cluster from 'node:cluster';
import { createPublicKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fastify from 'fastify';
import { createVerifier } from 'fast-jwt';
import pg from 'pg';

const issuer = process.env.PEER_ISSUER;
const processes = Number(process.env.PEER_PROCESSES || 1);
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

function refuse(request, reply, status, code, title, detail) {
  if (status === 401) reply.header('WWW-Authenticate', 'Bearer error="invalid_token"');
  return reply.code(status).type('application/problem+json').send(JSON.stringify(
    { type: `urn:insula:problem:${code}`, title, status, detail, code, request_id: request.id }));
}

const invalid = (request, reply) => refuse(request, reply, 401, 'invalid_token', 'The access token is not valid',
  'The access token is not valid (any more): refresh it, or log in again.');
const notFound = (request, reply) => refuse(request, reply, 404, 'not_found', 'Not found',
  'There is no project with this id in your tenant.');

function serve() {
  const jwk = JSON.parse(readFileSync(process.env.PEER_JWKS)).keys[0];
  const key = createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
  const verify = createVerifier({
    key, algorithms: ['ES256'], allowedIss: issuer, allowedAud: issuer, requiredClaims: ['exp', 'iss', 'aud', 'tid'],
    checkTyp: 'at+jwt', cache: 4096,
  });
  // Times as text with all their digits: a Date has milliseconds only.
  const time = (text) => (text.replace(' ', 'T').replace(/\+00$/, '')).replace(/(\.\d+)?$/,
    (digits) => (digits || '.').padEnd(7, '0')) + 'Z';
  pg.types.setTypeParser(1184, time);
  const pool = new pg.Pool({
    host: process.env.PEER_SOCKET, user: process.env.PEER_USER, password: process.env.PEER_PASSWORD,
    database: process.env.PEER_DATABASE_NAME,
    max: Math.max(1, Math.floor(Number(process.env.PEER_POOL) / processes)),
  });
  const app = fastify({ genReqId: () => randomBytes(16).toString('hex'), logger: false });

  app.addHook('onRequest', (request, reply, done) => {
    reply.headers({
      'X-Request-ID': request.id, 'X-Content-Type-Options': 'nosniff', 'X-Frame-Options': 'DENY',
      'Referrer-Policy': 'no-referrer', 'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Resource-Policy': 'same-origin', 'Cache-Control': 'no-store',
      'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
    });
    done();
  });

  app.get('/api/v1/projects/:id', async (request, reply) => {
    const field = request.headers.authorization || '';
    let claims;
    try {
      if (field.slice(0, 7).toLowerCase() !== 'bearer ') return invalid(request, reply);
      claims = verify(field.slice(7));
    } catch {
      return invalid(request, reply);
    }
    if (!uuid.test(claims.tid)) return invalid(request, reply);
    const id = request.params.id;
    if (!uuid.test(id)) return notFound(request, reply);
    const schema = 't_' + claims.tid.replaceAll('-', '');
    // Both are checked by uuid above: nothing in this text comes from outside but hexadecimal digits.
    const [, found] = await pool.query(
      `select pg_catalog.set_config('role', '${schema}', true), pg_catalog.set_config('lock_timeout', '50', true),`
      + " pg_catalog.set_config('statement_timeout', '30000', true);"
      + ` select id, name, description, version, created_at, updated_at from ${schema}.projects where id = '${id}'`);
    if (found.rows.length === 0) return notFound(request, reply);
    const row = found.rows[0];
    const tag = `"v${row.version}"`;
    reply.header('ETag', tag);
    if (request.headers['if-none-match'] === tag) return reply.code(304).send();
    return reply.type('application/json').send(JSON.stringify(
      { id: row.id, name: row.name, description: row.description, created_at: row.created_at, updated_at: row.updated_at }));
  });

  const [host, port] = process.env.PEER_LISTEN.split(':');
  app.listen({ host, port: Number(port) }).catch((reason) => {
    console.error(reason);
    process.exit(1);
  });
}

if (processes > 1 && cluster.isPrimary) {
  for (let i = 0; i < processes; i++) cluster.fork();
} else {
  serve();
}
