-- The same rows for the same number of offers, every time. The number is the setting standin.offers.

-- What a text column meets in a trading house: many alphabets, right to left, combining marks, emoji, quotes.
CREATE TEMPORARY TABLE words ON COMMIT DROP AS
    SELECT ord - 1 AS n, word
    FROM unnest(ARRAY[
        'Steel beam', 'Χαλύβδινη δοκός', 'Стальная балка', '钢梁', 'عارضة فولاذية', 'קורת פלדה',
        'Stahlträger "Größe ß"', 'Vigueta cafe' || U&'\0301', '鋼の梁 🏗️👷🏽‍♀️', E'it''s; a\\b\ttab',
        'คานเหล็ก', 'इस्पात बीम'
    ]) WITH ORDINALITY AS w (word, ord);

INSERT INTO customers (name, country, credit_limit, contact, created_at)
    SELECT word || ' ' || i,
           (ARRAY['GR', 'DE', 'RU', 'CN', 'EG', 'IL', 'FR', 'JP'])[1 + i % 8],
           (i * 7919 % 100000)::numeric / 4,
           jsonb_build_object('email', 'buyer' || i || '@example.com', 'tags', jsonb_build_array(word, i % 5)),
           timestamptz '2024-01-01 00:00:00.123456+00' + i * interval '17 minutes 3.000007 seconds'
    FROM generate_series(1, greatest(5, current_setting('standin.offers')::int / 12)) AS i
    JOIN words ON n = i % 12;

INSERT INTO products (sku, name, price, attributes, thumbnail, datasheet)
    SELECT 'SKU-' || lpad(i::text, 6, '0'),
           word || ' ' || i,
           (i * 104729 % 1000000)::numeric / 10000,
           jsonb_build_object('weight', i % 97 / 8.0, 'colours', jsonb_build_array('red', NULL, word)),
           decode(repeat(md5(i::text), 1 + i % 6), 'hex'),
           -- From one byte to many of the 2 KiB pages that large objects are kept in.
           CASE WHEN i <= 200 THEN lo_from_bytea(0, substr(decode(repeat(md5('' || -i), 2000), 'hex'), 1, i * i)) END
    FROM generate_series(1, greatest(5, current_setting('standin.offers')::int / 30)) AS i
    JOIN words ON n = i % 12;

-- An offer's lines follow from its number, so that its total is known before they are there.
CREATE FUNCTION pg_temp.lines(offer bigint) RETURNS TABLE (pos int, quantity numeric, price numeric)
    LANGUAGE sql IMMUTABLE AS $$
    SELECT p, 1 + (offer + p) % 50, (offer * 17 + p * 1009) % 90000 / 100.0 FROM generate_series(1, 4) AS p
$$;

INSERT INTO offers (customer_id, status, note, total, valid_until, created_at)
    SELECT 1 + i % (SELECT count(*) FROM customers),
           (enum_range(NULL::offer_status))[1 + i % 5],
           CASE WHEN i % 3 > 0 THEN word || repeat(' ' || md5(i::text), i % 4) END,
           (SELECT sum(quantity * price) FROM pg_temp.lines(i)),
           CASE WHEN i % 7 > 0 THEN date '2024-02-01' + i % 900 END,
           timestamptz '2024-01-01 06:00:00+00' + i * 53 % 1000 * interval '23 hours 59 minutes 59.999999 seconds'
    FROM generate_series(1, current_setting('standin.offers')::int) AS i
    JOIN words ON n = i % 12
    ORDER BY i;

INSERT INTO offer_lines (offer_id, position, offered_on, product_id, quantity, price)
    SELECT o.id, l.pos, (o.created_at AT TIME ZONE 'UTC')::date,
           1 + (o.id * 31 + l.pos) % (SELECT count(*) FROM products), l.quantity, l.price
    FROM offers AS o CROSS JOIN LATERAL pg_temp.lines(o.id) AS l;

DROP FUNCTION pg_temp.lines;

REFRESH MATERIALIZED VIEW turnover;
