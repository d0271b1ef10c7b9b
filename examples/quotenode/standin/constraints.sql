-- After the rows, so that loading does not pay for them.

ALTER TABLE offers ADD FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE offer_lines
    ADD FOREIGN KEY (offer_id) REFERENCES offers,
    ADD FOREIGN KEY (product_id) REFERENCES products;

CREATE INDEX offers_customer ON offers (customer_id);
CREATE INDEX offers_open ON offers (created_at) WHERE status IN ('draft', 'sent');

CREATE TRIGGER offer_lines_total AFTER INSERT ON offer_lines
    FOR EACH ROW EXECUTE FUNCTION add_line_to_total();
CREATE TRIGGER documents_immutable BEFORE UPDATE ON documents
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
