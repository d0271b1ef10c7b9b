-- QuoteNode's data in small: every kind of object that a dump has to carry.

CREATE TYPE offer_state AS ENUM ('draft', 'sent', 'accepted', 'declined');

CREATE TABLE customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    note text
);

CREATE TABLE products (
    id serial PRIMARY KEY,
    code varchar(20) NOT NULL UNIQUE,
    price numeric(12, 2) NOT NULL CHECK (price >= 0)
);

CREATE TABLE offers (
    id bigserial PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers,
    state offer_state NOT NULL DEFAULT 'draft',
    terms jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL
);

CREATE TABLE offer_lines (
    offer_id bigint NOT NULL REFERENCES offers ON DELETE CASCADE,
    position integer NOT NULL,
    product_id integer NOT NULL REFERENCES products,
    amount numeric NOT NULL,
    PRIMARY KEY (offer_id, position)
);

CREATE TABLE documents (
    id bigserial PRIMARY KEY,
    file_name text NOT NULL UNIQUE,
    thumbnail bytea,
    scan oid
);

CREATE TABLE history (
    happened_at timestamptz NOT NULL,
    what text
) PARTITION BY RANGE (happened_at);
CREATE TABLE history_2025 PARTITION OF history FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE history_later PARTITION OF history DEFAULT;

CREATE VIEW open_offers AS SELECT id, customer_id FROM offers WHERE state IN ('draft', 'sent');
CREATE MATERIALIZED VIEW offers_by_state AS SELECT state, count(*) AS offers FROM offers GROUP BY state;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'history stays'; END $$;
CREATE TRIGGER history_stays BEFORE UPDATE ON history_2025 FOR EACH ROW EXECUTE FUNCTION refuse_change();

INSERT INTO customers (name, note) VALUES
    ('Grüße & Söhne', 'ASCII never was enough'),
    ('Ελληνικά Α.Ε.', E'tab\there, line\nbreak, back\\slash'),
    ('Россия', 'quote '' and double " quote'),
    ('日本語株式会社', '𝔘𝔫𝔦𝔠𝔬𝔡𝔢 😀'),
    ('עברית', NULL),
    ('العربية', '');
INSERT INTO customers (name, note) SELECT 'Customer ' || n, md5(n::text) FROM generate_series(1, 500) AS n;
INSERT INTO products (code, price) SELECT 'P-' || n, n / 7.0 FROM generate_series(1, 200) AS n;
INSERT INTO offers (customer_id, state, terms, created_at)
    SELECT n % 506 + 1, (ENUM_RANGE(NULL::offer_state))[n % 4 + 1], jsonb_build_object('days', n, 'ü', 'ß'),
           timestamptz '2025-06-01 12:00:00.123456+00' + n * interval '1 minute'
    FROM generate_series(1, 2000) AS n;
INSERT INTO offer_lines SELECT o, p, (o + p) % 200 + 1, o * p / 3.0
    FROM generate_series(1, 2000) AS o, generate_series(1, 2) AS p;
INSERT INTO history SELECT timestamptz '2025-12-31 00:00+00' + n * interval '1 hour', 'event ' || n
    FROM generate_series(1, 100) AS n;
INSERT INTO documents (file_name, thumbnail, scan)
    SELECT 'doc-' || n || '.pdf', decode(md5(n::text), 'hex'), lo_from_bytea(0, convert_to(repeat('scan ' || n, 3000), 'UTF8'))
    FROM generate_series(1, 5) AS n;
REFRESH MATERIALIZED VIEW offers_by_state;
SELECT setval('offers_id_seq', 123456);
